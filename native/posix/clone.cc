#include "native/posix/clone.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>

#include "native/io/unique_fd.h"
#include "native/posix/files.h"

namespace gateway::posix {
namespace {

// Up to here reading and writing takes less time than finding holes and asking for a range.
constexpr int64_t kSmallBytes = 64 * 1024;
constexpr size_t kXattrBytes = 64 * 1024;
constexpr mode_t kPrivate = 0600;

int Status(int64_t result) { return result < 0 ? -errno : 0; }

bool IsUnsupported(int status) {
  return status == -EOPNOTSUPP || status == -EXDEV || status == -EINVAL || status == -ENOSYS;
}

int CopyByHand(int from, int to, int64_t begin, int64_t end) {
  std::array<std::byte, kSmallBytes> buffer;
  while (begin < end) {
    const size_t wanted = static_cast<size_t>(std::min<int64_t>(end - begin, kSmallBytes));
    const ssize_t count = pread(from, buffer.data(), wanted, begin);
    if (count <= 0) return count == 0 ? -EIO : -errno;
    for (ssize_t done = 0; done < count;) {
      const ssize_t written =
          pwrite(to, buffer.data() + done, static_cast<size_t>(count - done), begin + done);
      if (written < 0) return -errno;
      done += written;
    }
    begin += count;
  }
  return 0;
}

int CopyRange(int from, int to, int64_t begin, int64_t end) {
  while (begin < end) {
    off64_t in = begin;
    off64_t out = begin;
    const ssize_t count = copy_file_range(from, &in, to, &out, static_cast<size_t>(end - begin), 0);
    // Some file systems copy nothing where a plain read would get data.
    if (count <= 0) {
      return count == 0 || IsUnsupported(-errno) ? CopyByHand(from, to, begin, end) : -errno;
    }
    begin += count;
  }
  return 0;
}

int CopyAroundHoles(int from, int to, int64_t size) {
  int64_t end = 0;
  while (end < size) {
    int64_t data = lseek(from, end, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) {
      if (!IsUnsupported(-errno)) return -errno;
      data = end;
    }
    if (data >= size) break;
    const int64_t hole = lseek(from, data, SEEK_HOLE);
    const int64_t stop = hole < 0 ? size : std::min(hole, size);
    const int copied = CopyRange(from, to, data, stop);
    if (copied < 0) return copied;
    end = stop;
  }
  return end == size ? 0 : Status(ftruncate(to, size));
}

int CopyData(int from, int to, const struct statx& what, int64_t size) {
  const bool has_holes = what.stx_blocks * 512 < what.stx_size;
  return size <= kSmallBytes && !has_holes ? CopyByHand(from, to, 0, size)
                                           : CopyAroundHoles(from, to, size);
}

// Whether a copy without this attribute would permit more or other things than the file.
bool IsEssential(std::string_view name) {
  return name.starts_with("security.") || name.starts_with("system.posix_acl_");
}

int CopyXattrs(int from, int to, const CloneOptions& options, const CloneLimits* limits) {
  std::array<char, 512> few;
  ssize_t length = flistxattr(from, few.data(), few.size());
  if (length == 0 || (length < 0 && errno == EOPNOTSUPP)) return 0;
  const std::unique_ptr<char[]> memory(new (std::nothrow) char[2 * kXattrBytes]);
  if (memory == nullptr) return -ENOMEM;
  char* const names = memory.get();
  char* const value = names + kXattrBytes;
  length = flistxattr(from, names, kXattrBytes);
  if (length < 0) return -errno;
  for (ssize_t at = 0; at < length;) {
    const char* const name = names + at;
    const std::string_view text(name);
    at += static_cast<ssize_t>(text.size()) + 1;
    if (text.starts_with(options.skip) && !text.starts_with(options.keep)) {
      if (limits != nullptr) return -EOPNOTSUPP;
      continue;
    }
    const ssize_t size = fgetxattr(from, name, value, kXattrBytes);
    if (size < 0) return -errno;
    if (fsetxattr(to, name, value, static_cast<size_t>(size), 0) == 0) continue;
    const bool may_lack = errno == EOPNOTSUPP || errno == EPERM;
    if (IsEssential(text) || !may_lack) return -errno;
  }
  return 0;
}

// What Linux's own copies keep of chattr's flags. The lower file system may have none, or the upper
// one others.
int CopyInodeFlags(int from, int to) {
  constexpr int kCopied = FS_SYNC_FL | FS_NOATIME_FL;
  int flags = 0;
  int own = 0;
  if (ioctl(from, FS_IOC_GETFLAGS, &flags) != 0 || (flags & kCopied) == 0) return 0;
  if (ioctl(to, FS_IOC_GETFLAGS, &own) != 0) return 0;
  own |= flags & kCopied;
  if (ioctl(to, FS_IOC_SETFLAGS, &own) == 0) return 0;
  return IsUnsupported(-errno) || errno == ENOTTY || errno == EPERM ? 0 : -errno;
}

bool Exceeds(const struct statx& what, int64_t size, const CloneLimits& limits) {
  const bool is_protected = (what.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
  const bool has_names = what.stx_nlink > 1 && !limits.has_names_apart;
  const int64_t bytes = std::min(static_cast<int64_t>(what.stx_size), size);
  return is_protected || has_names || bytes > limits.most;
}

timespec Time(const statx_timestamp& time) {
  return {.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

// In this order because changing the owner and writing clear setuid, and all of it changes times.
int Fill(int from, int to, const struct statx& what, const CloneOptions& options,
         const CloneLimits* limits) {
  struct stat made;
  if (fstat(to, &made) != 0) return -errno;
  const bool is_owner = what.stx_uid == made.st_uid && what.stx_gid == made.st_gid;
  if (!is_owner && fchown(to, what.stx_uid, what.stx_gid) != 0) return -errno;
  const int64_t size = std::min(static_cast<int64_t>(what.stx_size), options.size);
  int status = CopyData(from, to, what, size);
  if (status == 0) status = CopyXattrs(from, to, options, limits);
  if (status == 0) status = CopyInodeFlags(from, to);
  if (status < 0) return status;
  const bool wants_more = options.xattr[0] != '\0';
  if (wants_more && fsetxattr(to, options.xattr, options.value.data(), options.value.size(), 0)) {
    if (errno != EPERM && errno != EOPNOTSUPP) return -errno;
  }
  const timespec times[2] = {Time(what.stx_atime), Time(what.stx_mtime)};
  if (fchmod(to, what.stx_mode & 07777) != 0 || futimens(to, times) != 0) return -errno;
  return options.sync ? Status(fsync(to)) : 0;
}

// The copy, open for reading and writing.
int Make(int source, int directory, const CloneOptions& options, const CloneLimits* limits) {
  // Reading a file leaves no traces in it.
  const int opened = Reopen(source, O_RDONLY | O_NOATIME);
  if (opened < 0) return opened;
  const UniqueFd from(opened);
  struct statx what;
  if (statx(from.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &what) != 0) return -errno;
  if (limits != nullptr && Exceeds(what, options.size, *limits)) return -EOPNOTSUPP;
  const int made = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kPrivate);
  // EISDIR: a file system, or a kernel, that has never heard of it.
  if (made < 0) return errno == EISDIR ? -EOPNOTSUPP : -errno;
  UniqueFd to(made);
  const int filled = Fill(from.get(), to.get(), what, options, limits);
  return filled < 0 ? filled : to.Release();
}

// Names a file in a directory, which nobody is to see from the directory's times.
int LinkUnseen(int fd, int directory, const char* name) {
  struct stat before;
  if (fstat(directory, &before) != 0) return -errno;
  const int linked = Link(fd, directory, name);
  if (linked < 0) return linked;
  // Only what the guest sees of the directory depends on it.
  (void)SetTimes(directory, {before.st_atim, before.st_mtim});
  return 0;
}

}  // namespace

int Clone(int source, int directory, const CloneOptions& options, AttrWords out) noexcept {
  const int made = Make(source, directory, options, nullptr);
  if (made < 0) return made;
  UniqueFd to(made);
  const int status = StatFd(to.get(), out);
  return status < 0 ? status : to.Release();
}

int CloneInto(int source, int work, const CloneOptions& options, const CloneLimits& limits,
              int directory, const char* name, AttrWords out) noexcept {
  const int made = Make(source, work, options, &limits);
  if (made < 0) return made;
  const UniqueFd to(made);
  // Before there is a name, so that none is left when this fails.
  const int opened = Reopen(to.get(), O_PATH);
  if (opened < 0) return opened;
  UniqueFd path(opened);
  const int linked = LinkUnseen(to.get(), directory, name);
  const int status = linked < 0 ? linked : StatFd(path.get(), out);
  return status < 0 ? status : path.Release();
}

}  // namespace gateway::posix
