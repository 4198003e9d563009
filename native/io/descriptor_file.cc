#include "native/io/descriptor_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "native/io/polling.h"

namespace gateway {
namespace {

constexpr uint64_t kSlowWriteNs = 2'000'000;
constexpr uint64_t kAfterSlowWriteNs = 100'000'000;

// A buffered write waits when the kernel throttles writers of dirty pages. That shows as one slow
// write; for a while after it, writes of the whole process go to the pool.
std::atomic<uint64_t> inline_writes_from_ns{0};

// Runs `call` (buffers, count, offset) over all buffers, IOV_MAX at a time, until one comes back
// short. What was transferred before an error counts, as in read(2).
template <typename Call>
ssize_t ForEachPart(std::span<const iovec> buffers, uint64_t offset, Call call) noexcept {
  ssize_t total = 0;
  do {
    const std::span<const iovec> part = buffers.first(std::min<size_t>(buffers.size(), IOV_MAX));
    buffers = buffers.subspan(part.size());
    const ssize_t count = call(part.data(), static_cast<int>(part.size()),
                               static_cast<off_t>(offset + static_cast<uint64_t>(total)));
    if (count < 0) {
      return total > 0 ? total : -errno;
    }
    total += count;
    if (static_cast<uint64_t>(count) < Length(part)) {
      break;
    }
  } while (!buffers.empty());
  return total;
}

// One buffer needs no vector: the kernel then does not copy and check it, a tenth of a small
// transfer.
ssize_t ReadPart(int fd, const iovec* part, int count, off_t at) noexcept {
  return count == 1 ? pread(fd, part->iov_base, part->iov_len, at) : preadv(fd, part, count, at);
}

ssize_t WritePart(int fd, const iovec* part, int count, off_t at) noexcept {
  return count == 1 ? pwrite(fd, part->iov_base, part->iov_len, at) : pwritev(fd, part, count, at);
}

}  // namespace

bool DescriptorFile::IsSynchronous() noexcept {
  if (!synchronous_) {
    const int flags = fcntl(fd_.get(), F_GETFL);
    synchronous_ = flags >= 0 && (flags & (O_DIRECT | O_SYNC | O_DSYNC)) != 0;
  }
  return *synchronous_;
}

DescriptorFile::Medium DescriptorFile::medium() noexcept {
  if (medium_ == Medium::kUnknown) {
    struct statfs info;
    medium_ = Medium::kOther;
    if (fstatfs(fd_.get(), &info) == 0) {
      switch (info.f_type) {
        case TMPFS_MAGIC:
        case RAMFS_MAGIC:
          medium_ = Medium::kMemory;
          break;
        case EXT4_SUPER_MAGIC:
        case XFS_SUPER_MAGIC:
        case BTRFS_SUPER_MAGIC:
        case F2FS_SUPER_MAGIC:
          medium_ = Medium::kDisk;
          break;
        default:
          break;
      }
    }
  }
  return medium_;
}

ssize_t DescriptorFile::Read(std::span<const iovec> buffers, uint64_t offset,
                             Blocking blocking) noexcept {
  const int fd = fd_.get();
  if (blocking == Blocking::kAllowed || medium() == Medium::kMemory) {
    return ForEachPart(buffers, offset, [fd](const iovec* part, int count, off_t at) {
      return ReadPart(fd, part, count, at);
    });
  }
  const ssize_t got = ForEachPart(buffers, offset, [fd](const iovec* part, int count, off_t at) {
    return preadv2(fd, part, count, at, RWF_NOWAIT);
  });
  if (got == -EOPNOTSUPP) {
    return -EAGAIN;
  }
  if (got <= 0 || static_cast<uint64_t>(got) == Length(buffers)) {
    return got;
  }
  // Short: the end of the file, or the end of what is in the page cache. Only another read tells.
  char probe;
  iovec probe_buffer{&probe, 1};
  const ssize_t more = preadv2(fd, &probe_buffer, 1, static_cast<off_t>(offset + got), RWF_NOWAIT);
  return more == 0 ? got : -EAGAIN;
}

ssize_t DescriptorFile::Write(std::span<const iovec> buffers, uint64_t offset,
                              Blocking blocking) noexcept {
  const int fd = fd_.get();
  const auto write = [fd](const iovec* part, int count, off_t at) {
    return WritePart(fd, part, count, at);
  };
  if (blocking == Blocking::kAllowed) {
    return ForEachPart(buffers, offset, write);
  }
  if (IsSynchronous() || medium() == Medium::kOther) {
    return -EAGAIN;
  }
  if (medium() == Medium::kMemory) {
    return ForEachPart(buffers, offset, write);
  }
  const uint64_t start = MonotonicNs();
  if (start < inline_writes_from_ns.load(std::memory_order_relaxed)) {
    return -EAGAIN;
  }
  const ssize_t count = ForEachPart(buffers, offset, write);
  const uint64_t end = MonotonicNs();
  if (end - start > kSlowWriteNs) {
    inline_writes_from_ns.store(end + kAfterSlowWriteNs, std::memory_order_relaxed);
  }
  return count;
}

// File capabilities are not asked for: Linux takes them away at every write, whoever writes.
bool DescriptorFile::MayHavePrivileges() noexcept {
  struct stat info;
  return fstat(fd_.get(), &info) != 0 || (info.st_mode & (S_ISUID | S_ISGID)) != 0;
}

}  // namespace gateway
