// Which pages of an arena are in use.
#ifndef NATIVE_IO_PAGE_ALLOCATOR_H_
#define NATIVE_IO_PAGE_ALLOCATOR_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace gateway {

// Neighbouring pages.
struct PageRun {
  uint64_t first = 0;
  uint64_t count = 0;
};

// A bitmap of pages with summary levels above it (a set bit says "this word is full"), so that the
// next free page is found in one step per level however full the space is. Not thread-safe.
class PageAllocator {
 public:
  // Starts with `capacity` free pages. False when there is no memory for the bitmap, which is
  // touched only where pages are used.
  [[nodiscard]] bool Reset(uint64_t capacity);

  // Takes up to `wanted` neighbouring pages; none only when no page is free. Looks for a place with
  // `room` (at least `wanted`) free pages and hands out what lies behind them first, so that a file
  // that grows can go on with TakeAt() while others grow beside it.
  [[nodiscard]] PageRun Take(uint64_t wanted, uint64_t room);

  // Takes up to `wanted` pages from `page` on, as many as are free there: perhaps none.
  [[nodiscard]] uint64_t TakeAt(uint64_t page, uint64_t wanted);

  // Gives pages back. The next Take() starts no later than here: pages that were used before have
  // their page tables already.
  void Release(PageRun run);

 private:
  struct FreeMemory {
    void operator()(uint64_t* words) const { std::free(words); }
  };
  struct Level {
    std::unique_ptr<uint64_t[], FreeMemory> words;
    uint64_t word_count = 0;
  };

  [[nodiscard]] uint64_t FindFree(uint64_t from) const;
  [[nodiscard]] uint64_t FreeLength(uint64_t page, uint64_t limit) const;
  void Mark(PageRun run);
  void MarkFull(uint64_t word);
  void MarkNotFull(uint64_t word);

  std::vector<Level> levels_;
  uint64_t capacity_ = 0;
  uint64_t cursor_ = 0;
};

}  // namespace gateway

#endif  // NATIVE_IO_PAGE_ALLOCATOR_H_
