// A file that native code reads and writes without JavaScript.
#ifndef NATIVE_IO_BOUND_FILE_H_
#define NATIVE_IO_BOUND_FILE_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>

namespace gateway {

// Whether a call may wait for a disk. The loop thread says kNever and gets -EAGAIN instead of
// waiting; the request then goes to a pool thread, which says kAllowed.
enum class Blocking { kNever, kAllowed };

// Bytes of all buffers together.
[[nodiscard]] inline uint64_t Length(std::span<const iovec> buffers) noexcept {
  uint64_t length = 0;
  for (const iovec& buffer : buffers) {
    length += buffer.iov_len;
  }
  return length;
}

// The result of a read that native code cannot do after all: the request goes to JavaScript.
inline constexpr ssize_t kForBackend = std::numeric_limits<ssize_t>::min();

// One per open handle. Destroyed when the handle is released and no call is in flight, so an
// implementation owns what it needs (a descriptor, a share of an arena).
class BoundFile {
 public:
  BoundFile() = default;
  BoundFile(const BoundFile&) = delete;
  BoundFile& operator=(const BoundFile&) = delete;
  virtual ~BoundFile() = default;

  // Like preadv(2): bytes read, short only at the end of the file, or -errno or kForBackend.
  // `buffers` point into guest memory, which can change or vanish (EFAULT) at any time.
  [[nodiscard]] virtual ssize_t Read(std::span<const iovec> buffers, uint64_t offset,
                                     Blocking blocking) noexcept = 0;

  // Like pwritev(2): bytes written or -errno. At the end of the file when the handle appends.
  [[nodiscard]] virtual ssize_t Write(std::span<const iovec> buffers, uint64_t offset,
                                      Blocking blocking) noexcept = 0;

  // Whether Read() with Blocking::kNever may run on several threads at once, and is long enough for
  // that to pay when it is: then it copies from the page cache without a lock. On the loop thread.
  [[nodiscard]] virtual bool ReadsInParallel() noexcept { return false; }

  // Whether a write by an unprivileged user may have to clear setuid or setgid; true when not
  // known.
  [[nodiscard]] virtual bool MayHavePrivileges() noexcept { return true; }
};

}  // namespace gateway

#endif  // NATIVE_IO_BOUND_FILE_H_
