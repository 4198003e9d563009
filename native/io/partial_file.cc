#include "native/io/partial_file.h"

#include <errno.h>

#include <algorithm>
#include <atomic>

namespace gateway {
namespace {

constexpr uint32_t kWordBits = 32;

uint64_t BlocksOf(uint64_t size, uint32_t shift) {
  return (size >> shift) + ((size & ((uint64_t{1} << shift) - 1)) != 0 ? 1 : 0);
}

// The first `length` bytes of `buffers`.
std::vector<iovec> Shortened(std::span<const iovec> buffers, uint64_t length) {
  std::vector<iovec> shortened;
  for (const iovec& buffer : buffers) {
    const size_t part = std::min<uint64_t>(buffer.iov_len, length);
    if (part == 0) {
      break;
    }
    shortened.push_back({buffer.iov_base, part});
    length -= part;
  }
  return shortened;
}

}  // namespace

PresentBlocks::PresentBlocks(uint64_t size, uint32_t shift)
    : size_(size), shift_(shift), words_(1 + BlocksOf(BlocksOf(size, shift), 5)) {}

uint32_t PresentBlocks::Load(size_t word) noexcept {
  return std::atomic_ref<uint32_t>(words_[word]).load(std::memory_order_seq_cst);
}

bool PresentBlocks::Cover(uint64_t offset, uint64_t length) noexcept {
  const uint64_t last = (offset + length - 1) >> shift_;
  for (uint64_t block = offset >> shift_; block <= last; ++block) {
    if ((Load(1 + block / kWordBits) >> (block % kWordBits) & 1) == 0) {
      return false;
    }
  }
  return true;
}

ssize_t PartialFile::Read(std::span<const iovec> buffers, uint64_t offset,
                          Blocking blocking) noexcept {
  const uint64_t wanted = Length(buffers);
  if (wanted == 0 || offset >= blocks_->size()) {
    return 0;
  }
  const uint64_t length = std::min(wanted, blocks_->size() - offset);
  const uint32_t removals = blocks_->removals();
  if (!blocks_->Cover(offset, length)) {
    return kForBackend;
  }
  const ssize_t count = length == wanted
                            ? descriptor_.Read(buffers, offset, blocking)
                            : descriptor_.Read(Shortened(buffers, length), offset, blocking);
  // What was removed meanwhile may have been read as zeros.
  return blocks_->removals() == removals ? count : kForBackend;
}

ssize_t PartialFile::Write(std::span<const iovec>, uint64_t, Blocking) noexcept { return -EBADF; }

}  // namespace gateway
