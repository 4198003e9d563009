#include "native/io/extent_map.h"

#include <algorithm>
#include <iterator>

namespace gateway {

Segment ExtentMap::Find(uint64_t page) const {
  const auto next = runs_.upper_bound(page);
  if (next != runs_.begin()) {
    const auto& [first, run] = *std::prev(next);
    const uint64_t skipped = page - first;
    if (skipped < run.count) {
      return {run.written ? PageState::kWritten : PageState::kReserved, run.physical + skipped,
              run.count - skipped};
    }
  }
  return {PageState::kHole, 0, (next == runs_.end() ? kPageLimit : next->first) - page};
}

uint64_t ExtentMap::Goal(uint64_t page) const {
  const auto next = runs_.upper_bound(page);
  if (next != runs_.begin()) {
    const auto& [first, run] = *std::prev(next);
    return run.physical + (page - first);
  }
  if (next != runs_.end() && next->second.physical >= next->first - page) {
    return next->second.physical - (next->first - page);
  }
  return kNoGoal;
}

void ExtentMap::Insert(uint64_t page, PageRun run, bool written) {
  const auto position = runs_.emplace(page, Run{run.first, run.count, written}).first;
  const auto next = std::next(MergeBefore(position));
  if (next != runs_.end()) {
    MergeBefore(next);
  }
}

void ExtentMap::Remove(uint64_t page, uint64_t count, std::vector<PageRun>& written,
                       std::vector<PageRun>& reserved) {
  SplitAt(page);
  SplitAt(page + count);
  auto position = runs_.lower_bound(page);
  while (position != runs_.end() && position->first < page + count) {
    const Run& run = position->second;
    (run.written ? written : reserved).push_back({run.physical, run.count});
    position = runs_.erase(position);
  }
}

void ExtentMap::MarkWritten(uint64_t page, uint64_t count) {
  SplitAt(page);
  SplitAt(page + count);
  auto position = runs_.lower_bound(page);
  while (position != runs_.end() && position->first < page + count) {
    position->second.written = 1;
    position = std::next(MergeBefore(position));
  }
  if (position != runs_.end()) {
    MergeBefore(position);
  }
}

uint64_t ExtentMap::CountHoles(uint64_t page, uint64_t count) const {
  uint64_t holes = 0;
  for (const uint64_t end = page + count; page < end;) {
    const Segment segment = Find(page);
    const uint64_t length = std::min(segment.count, end - page);
    if (segment.state == PageState::kHole) {
      holes += length;
    }
    page += length;
  }
  return holes;
}

void ExtentMap::SplitAt(uint64_t page) {
  const auto next = runs_.lower_bound(page);
  if (next == runs_.begin()) {
    return;
  }
  auto& [first, run] = *std::prev(next);
  const uint64_t kept = page - first;
  if (kept < run.count) {
    runs_.emplace_hint(next, page, Run{run.physical + kept, run.count - kept, run.written});
    run.count = kept;
  }
}

ExtentMap::Runs::iterator ExtentMap::MergeBefore(Runs::iterator position) {
  if (position == runs_.begin()) {
    return position;
  }
  const auto before = std::prev(position);
  const Run& run = position->second;
  Run& head = before->second;
  if (before->first + head.count != position->first || head.physical + head.count != run.physical ||
      head.written != run.written) {
    return position;
  }
  head.count += run.count;
  runs_.erase(position);
  return before;
}

}  // namespace gateway
