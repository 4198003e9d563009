// Where the pages of one file lie in an arena.
#ifndef NATIVE_IO_EXTENT_MAP_H_
#define NATIVE_IO_EXTENT_MAP_H_

#include <cstdint>
#include <map>
#include <vector>

#include "native/io/page_allocator.h"

namespace gateway {

// What a stretch of pages of a file is.
enum class PageState : uint8_t {
  kHole,      // No pages: reads as zeros.
  kReserved,  // Pages that belong to the file and have never been written: reads as zeros.
  kWritten,   // Pages with contents.
};

// Neighbouring pages of a file that are alike: in one place of the arena, or one hole.
struct Segment {
  PageState state = PageState::kHole;
  uint64_t physical = 0;
  uint64_t count = 0;
};

// A sparse map from page number in the file to page number in the arena: ordered runs that are
// contiguous in both, merged with their neighbours, so that a file written in order is one run.
class ExtentMap {
 public:
  // One more than the number of the last page that a file can have.
  static constexpr uint64_t kPageLimit = uint64_t{1} << 51;
  static constexpr uint64_t kNoGoal = ~uint64_t{0};

  // What `page` is and for how many pages from there on.
  [[nodiscard]] Segment Find(uint64_t page) const;

  // The arena page where `page`, which is a hole, would continue a neighbouring run, or kNoGoal.
  [[nodiscard]] uint64_t Goal(uint64_t page) const;

  // Adds a run for pages that are a hole.
  void Insert(uint64_t page, PageRun run, bool written);

  // Makes the pages a hole and appends their runs to `written`, or to `reserved` when nothing was
  // ever written there.
  void Remove(uint64_t page, uint64_t count, std::vector<PageRun>& written,
              std::vector<PageRun>& reserved);

  // Pages that were kReserved have contents now; none of them is a hole.
  void MarkWritten(uint64_t page, uint64_t count);

  // How many of the pages are holes.
  [[nodiscard]] uint64_t CountHoles(uint64_t page, uint64_t count) const;

  [[nodiscard]] size_t run_count() const { return runs_.size(); }

 private:
  struct Run {
    uint64_t physical;
    uint64_t count : 63;
    uint64_t written : 1;
  };
  using Runs = std::map<uint64_t, Run>;

  void SplitAt(uint64_t page);
  // Merges the run at `position` with the one before it if the two are one; returns the result.
  Runs::iterator MergeBefore(Runs::iterator position);

  Runs runs_;
};

}  // namespace gateway

#endif  // NATIVE_IO_EXTENT_MAP_H_
