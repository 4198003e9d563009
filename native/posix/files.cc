#include "native/posix/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "native/io/unique_fd.h"
#include "native/posix/process.h"

namespace gateway::posix {
namespace {

constexpr int kPathFlags = O_PATH | O_NOFOLLOW | O_CLOEXEC;

int Status(long result) { return result < 0 ? -errno : static_cast<int>(result); }

open_how BeneathHow() {
  open_how how = {};
  how.flags = kPathFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  return how;
}

// Kernels and seccomp filters without openat2 are told from its first answer. openat is as safe for
// one checked component; openat2 is the second lock on the same door.
int OpenBeneath(int directory, const char* name) {
  static std::atomic<bool> missing{false};
  if (!missing.load(std::memory_order_relaxed)) {
    const open_how how = BeneathHow();
    const int fd = Status(syscall(SYS_openat2, directory, name, &how, sizeof(how)));
    if (fd != -ENOSYS) return fd;
    missing.store(true, std::memory_order_relaxed);
  }
  return Status(openat(directory, name, kPathFlags));
}

// Runs `create` as the caller. Where the caller's known groups do not suffice the guest's own check
// decides (see TrustGuestChecks).
template <typename Create>
int CreateAs(const Identity& caller, Create create) {
  ActingAs acting(caller);
  if (acting.error() != 0) return acting.error();
  int result = Status(create());
  if (result == -EACCES && acting.TrustGuestChecks()) result = Status(create());
  return result;
}

// A descriptor with the attributes of its file, or neither.
int WithAttributes(int opened, AttrWords out) {
  if (opened < 0) return opened;
  UniqueFd fd(opened);
  const int status = StatFd(fd.get(), out);
  return status < 0 ? status : fd.Release();
}

}  // namespace

bool IsComponent(std::string_view name) noexcept {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  return name.find('/') == name.npos && name.find('\0') == name.npos;
}

int OpenPath(int directory, const char* name, AttrWords out) noexcept {
  return WithAttributes(OpenBeneath(directory, name), out);
}

int OpenPathCached(int directory, const char* name, AttrWords out) noexcept {
  open_how how = BeneathHow();
  how.resolve |= RESOLVE_CACHED;
  const int fd = Status(syscall(SYS_openat2, directory, name, &how, sizeof(how)));
  return fd == -EINVAL || fd == -ENOSYS ? -EAGAIN : WithAttributes(fd, out);
}

int OpenRoot(const char* path, AttrWords out) noexcept {
  return WithAttributes(Status(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)), out);
}

// Every step is checked against the root, so nothing above it is ever returned; whoever moves
// directories meanwhile can only turn the answer into ESTALE.
int OpenParent(int directory, int root, AttrWords out) noexcept {
  struct stat top;
  struct stat at;
  if (fstat(root, &top) != 0 || fstat(directory, &at) != 0) return -errno;
  const auto is_root = [&top](const struct stat& it) {
    return it.st_dev == top.st_dev && it.st_ino == top.st_ino;
  };
  constexpr int kFlags = kPathFlags | O_DIRECTORY;
  if (is_root(at)) return WithAttributes(Reopen(root, kFlags), out);
  UniqueFd parent(openat(directory, "..", kFlags));
  if (parent.get() < 0) return -errno;
  const int result = fcntl(parent.get(), F_DUPFD_CLOEXEC, 0);
  if (result < 0) return -errno;
  UniqueFd found(result);
  while (true) {
    struct stat above;
    if (fstat(parent.get(), &above) != 0) return -errno;
    if (is_root(above)) return WithAttributes(found.Release(), out);
    // The root of everything is its own parent.
    if (above.st_dev == at.st_dev && above.st_ino == at.st_ino) return -ESTALE;
    at = above;
    const int next = openat(parent.get(), "..", kFlags);
    if (next < 0) return -errno;
    parent = UniqueFd(next);
  }
}

int Reopen(int fd, int flags, bool kill_suidgid) noexcept {
  const ProcName name(fd);
  const WithoutFsetid dropped(kill_suidgid);
  const int how = (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC | O_NOCTTY;
  int opened = Status(openat(ProcFd(), name.get(), how));
  // O_NOATIME is for owners; for others it is a wish.
  if (opened == -EPERM && (flags & O_NOATIME) != 0) {
    opened = Status(openat(ProcFd(), name.get(), how & ~O_NOATIME));
  }
  return opened;
}

int OpenCreate(int directory, const char* name, int flags, mode_t mode, const Identity& caller,
               AttrWords out) noexcept {
  const int how = flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
  const int fd =
      CreateAs(caller, [=] { return static_cast<long>(openat(directory, name, how, mode)); });
  return WithAttributes(fd, out);
}

int OpenTemporary(int directory, int flags, mode_t mode, const Identity& caller,
                  AttrWords out) noexcept {
  const int how = (flags & ~O_CREAT) | O_TMPFILE | O_CLOEXEC | O_NOCTTY;
  const int fd =
      CreateAs(caller, [=] { return static_cast<long>(openat(directory, ".", how, mode)); });
  return WithAttributes(fd, out);
}

int MakeDirectory(int directory, const char* name, mode_t mode, const Identity& caller) noexcept {
  return CreateAs(caller, [=] { return static_cast<long>(mkdirat(directory, name, mode)); });
}

int MakeNode(int directory, const char* name, mode_t mode, uint32_t device, const Identity& caller,
             AttrWords out) noexcept {
  const dev_t number = DecodeDevice(device);
  const int made =
      CreateAs(caller, [=] { return static_cast<long>(mknodat(directory, name, mode, number)); });
  return made < 0 ? made : StatAt(directory, name, out);
}

int MakeSymlink(int directory, const char* name, const char* target, const Identity& caller,
                AttrWords out) noexcept {
  const int made =
      CreateAs(caller, [=] { return static_cast<long>(symlinkat(target, directory, name)); });
  return made < 0 ? made : StatAt(directory, name, out);
}

// Through /proc, because AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH here.
int Link(int fd, int directory, const char* name) noexcept {
  const ProcName source(fd);
  return Status(linkat(ProcFd(), source.get(), directory, name, AT_SYMLINK_FOLLOW));
}

int Unlink(int directory, const char* name, bool is_directory) noexcept {
  return Status(unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0));
}

int Rename(int from, const char* name, int to, const char* new_name, unsigned flags,
           const Identity& caller) noexcept {
  if ((flags & RENAME_WHITEOUT) != 0) {
    ActingAs acting(caller);
    if (acting.error() != 0) return acting.error();
    acting.KeepCapabilities();
    return Status(renameat2(from, name, to, new_name, flags));
  }
  return Status(renameat2(from, name, to, new_name, flags));
}

ssize_t ReadLink(int fd, std::span<char> into) noexcept {
  const ssize_t length = readlinkat(fd, "", into.data(), into.size());
  if (length >= 0) return length;
  // An empty name of something that is no link is reported as missing.
  return errno == ENOENT ? -EINVAL : -errno;
}

// Linux 6.6 has fchmodat2 (the same number everywhere); before it, the raw fchmodat through /proc,
// because the C library's would try to be clever with links.
int ChangeMode(int fd, mode_t mode) noexcept {
  constexpr long kFchmodat2 = 452;
  static std::atomic<bool> missing{false};
  if (!missing.load(std::memory_order_relaxed)) {
    const int status = Status(syscall(kFchmodat2, fd, "", mode, AT_EMPTY_PATH));
    if (status != -ENOSYS) return status;
    missing.store(true, std::memory_order_relaxed);
  }
  const ProcName name(fd);
  return Status(syscall(SYS_fchmodat, ProcFd(), name.get(), mode));
}

int ChangeOwner(int fd, uid_t uid, gid_t gid) noexcept {
  return Status(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

int SetTimes(int fd, const timespec (&times)[2]) noexcept {
  return Status(utimensat(fd, "", times, AT_EMPTY_PATH));
}

int TruncateOpen(int fd, int64_t size, bool kill_suidgid) noexcept {
  const WithoutFsetid dropped(kill_suidgid);
  return Status(ftruncate(fd, size));
}

int Truncate(int fd, int64_t size, bool kill_suidgid) noexcept {
  const int opened = Reopen(fd, O_WRONLY);
  if (opened < 0) return opened;
  const UniqueFd writable(opened);
  return TruncateOpen(writable.get(), size, kill_suidgid);
}

ssize_t Write(int fd, std::span<const std::byte> from, int64_t offset, bool kill_suidgid) noexcept {
  // Few files have the bits, and giving up a capability takes longer than looking.
  struct stat before;
  const bool has_bits =
      kill_suidgid && fstat(fd, &before) == 0 && (before.st_mode & (S_ISUID | S_ISGID)) != 0;
  const WithoutFsetid dropped(has_bits);
  size_t done = 0;
  while (done < from.size()) {
    const ssize_t count =
        pwrite(fd, from.data() + done, from.size() - done, offset + static_cast<off_t>(done));
    if (count < 0) return done > 0 ? static_cast<ssize_t>(done) : -errno;
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return static_cast<ssize_t>(done);
}

int Lock(int fd) noexcept { return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno; }

Medium MediumOf(int fd) noexcept {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return Medium::kOther;
  switch (info.f_type) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
      return Medium::kMemory;
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
      return Medium::kDisk;
    case FUSE_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case V9FS_MAGIC:
    case CEPH_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case CODA_SUPER_MAGIC:
    case OCFS2_SUPER_MAGIC:
      return Medium::kRemote;
    default:
      return Medium::kOther;
  }
}

}  // namespace gateway::posix
