// A bound file for reading of which only some blocks are there: the others are for JavaScript.
#ifndef NATIVE_IO_PARTIAL_FILE_H_
#define NATIVE_IO_PARTIAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "native/io/bound_file.h"
#include "native/io/descriptor_file.h"

namespace gateway {

// Word 0 counts removals, a bit for each block follows. JavaScript writes them with atomic stores:
// it sets a bit when the block's bytes are in the file, and before they go it clears the bit and
// counts.
class PresentBlocks {
 public:
  PresentBlocks(uint64_t size, uint32_t shift);

  [[nodiscard]] std::span<uint32_t> words() noexcept { return words_; }
  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  [[nodiscard]] uint32_t removals() noexcept { return Load(0); }
  // Whether all of a range within the file is there.
  [[nodiscard]] bool Cover(uint64_t offset, uint64_t length) noexcept;

 private:
  [[nodiscard]] uint32_t Load(size_t word) noexcept;

  const uint64_t size_;
  const uint32_t shift_;
  std::vector<uint32_t> words_;
};

// Shared by all handles of the file.
class PartialFile final : public BoundFile {
 public:
  // Takes `fd` over. What the descriptor has behind the size is no part of the file.
  PartialFile(UniqueFd fd, std::shared_ptr<PresentBlocks> blocks) noexcept
      : descriptor_(std::move(fd)), blocks_(std::move(blocks)) {}

  [[nodiscard]] ssize_t Read(std::span<const iovec> buffers, uint64_t offset,
                             Blocking blocking) noexcept override;
  [[nodiscard]] ssize_t Write(std::span<const iovec> buffers, uint64_t offset,
                              Blocking blocking) noexcept override;
  [[nodiscard]] bool ReadsInParallel() noexcept override { return descriptor_.ReadsInParallel(); }

 private:
  DescriptorFile descriptor_;
  const std::shared_ptr<PresentBlocks> blocks_;
};

}  // namespace gateway

#endif  // NATIVE_IO_PARTIAL_FILE_H_
