#include "native/posix/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

// Kernels and seccomp filters without openat2 are told from its first answer. openat is as safe for
// one checked component; openat2 is the second lock on the same door.
int OpenBeneath(int directory, const char* name) {
  static std::atomic<bool> missing{false};
  if (!missing.load(std::memory_order_relaxed)) {
    open_how how = {};
    how.flags = kPathFlags;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
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

int OpenRoot(const char* path, AttrWords out) noexcept {
  return WithAttributes(Status(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)), out);
}

int Reopen(int fd, int flags) noexcept {
  const ProcName name(fd);
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

int MakeDirectory(int directory, const char* name, mode_t mode, const Identity& caller,
                  AttrWords out) noexcept {
  const int made =
      CreateAs(caller, [=] { return static_cast<long>(mkdirat(directory, name, mode)); });
  return made < 0 ? made : StatAt(directory, name, out);
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

int Rename(int from, const char* name, int to, const char* new_name, unsigned flags) noexcept {
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

}  // namespace gateway::posix
