// A position in a list of buffers.
#ifndef NATIVE_IO_BUFFER_CURSOR_H_
#define NATIVE_IO_BUFFER_CURSOR_H_

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace gateway {

// A position in the caller's buffers. Counts given to its methods are at most remaining().
class BufferCursor {
 public:
  explicit BufferCursor(std::span<const iovec> buffers) : buffers_(buffers) {
    for (const iovec& buffer : buffers) {
      remaining_ += buffer.iov_len;
    }
  }

  [[nodiscard]] uint64_t remaining() const { return remaining_; }

  void CopyFrom(const std::byte* source, uint64_t count) {
    ForEach(count, [&](std::byte* target, size_t length) {
      std::memcpy(target, source, length);
      source += length;
    });
  }

  void CopyTo(std::byte* target, uint64_t count) {
    ForEach(count, [&](const std::byte* source, size_t length) {
      std::memcpy(target, source, length);
      target += length;
    });
  }

  void FillZero(uint64_t count) {
    ForEach(count, [](std::byte* target, size_t length) { std::memset(target, 0, length); });
  }

  // pwritev(2) of the next `count` bytes; short when that is.
  [[nodiscard]] ssize_t WriteTo(int fd, uint64_t offset, uint64_t count) {
    uint64_t done = 0;
    while (done < count) {
      std::array<iovec, 64> vectors;
      int used = 0;
      uint64_t gathered = 0;
      for (size_t i = 0; used < static_cast<int>(vectors.size()) && gathered < count - done; ++i) {
        const size_t skipped = i == 0 ? position_ : 0;
        const iovec& buffer = buffers_[i];
        const uint64_t length = std::min(buffer.iov_len - skipped, count - done - gathered);
        vectors[used++] = {static_cast<std::byte*>(buffer.iov_base) + skipped, length};
        gathered += length;
      }
      const ssize_t result = pwritev(fd, vectors.data(), used, static_cast<off_t>(offset + done));
      if (result < 0 && errno == EINTR) {
        continue;
      }
      if (result <= 0) {
        return done > 0 ? static_cast<ssize_t>(done) : (result < 0 ? -errno : -EIO);
      }
      ForEach(static_cast<uint64_t>(result), [](std::byte*, size_t) {});
      done += static_cast<uint64_t>(result);
    }
    return static_cast<ssize_t>(done);
  }

 private:
  template <typename Action>
  void ForEach(uint64_t count, Action action) {
    remaining_ -= count;
    while (count > 0) {
      const iovec& buffer = buffers_.front();
      const size_t length = std::min<uint64_t>(buffer.iov_len - position_, count);
      if (length > 0) {
        action(static_cast<std::byte*>(buffer.iov_base) + position_, length);
      }
      position_ += length;
      count -= length;
      if (position_ == buffer.iov_len) {
        buffers_ = buffers_.subspan(1);
        position_ = 0;
      }
    }
  }

  std::span<const iovec> buffers_;
  size_t position_ = 0;
  uint64_t remaining_ = 0;
};

}  // namespace gateway

#endif  // NATIVE_IO_BUFFER_CURSOR_H_
