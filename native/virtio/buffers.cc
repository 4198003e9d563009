#include "native/virtio/buffers.h"

#include <algorithm>
#include <cstring>

namespace gateway {
namespace {

// Calls visit(address, size) for each contiguous piece of [offset, offset + size) of `buffers`.
template <typename Visit>
void ForEachPiece(std::span<const iovec> buffers, size_t offset, uint64_t size, Visit visit) {
  for (const iovec& buffer : buffers) {
    if (size == 0) {
      return;
    }
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const size_t piece = std::min<uint64_t>(buffer.iov_len - offset, size);
    visit(static_cast<std::byte*>(buffer.iov_base) + offset, piece);
    offset = 0;
    size -= piece;
  }
}

}  // namespace

size_t CopyFrom(std::span<const iovec> source, size_t offset,
                std::span<std::byte> target) noexcept {
  size_t done = 0;
  ForEachPiece(source, offset, target.size(), [&](const std::byte* piece, size_t size) {
    std::memcpy(target.data() + done, piece, size);
    done += size;
  });
  return done;
}

size_t CopyTo(std::span<const iovec> target, size_t offset,
              std::span<const std::byte> source) noexcept {
  size_t done = 0;
  ForEachPiece(target, offset, source.size(), [&](std::byte* piece, size_t size) {
    std::memcpy(piece, source.data() + done, size);
    done += size;
  });
  return done;
}

void Slice(std::span<const iovec> whole, size_t offset, uint64_t size, std::vector<iovec>* part) {
  part->clear();
  ForEachPiece(whole, offset, size, [&](std::byte* piece, size_t length) {
    part->push_back({piece, length});
  });
}

}  // namespace gateway
