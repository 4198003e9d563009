// How an arena's files get pages and give them back.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "native/io/arena.h"
#include "native/io/io_pool.h"

namespace gateway {
namespace {

// Pages that a growing file is given room for at most (128 MiB).
constexpr uint64_t kMaxRoomPages = 32768;
// Freed pages from which on a pool thread gives them back to the host (2 MiB).
constexpr uint64_t kBackgroundPages = 512;
// Pages punched in one call: the memfd is locked meanwhile, and a write would wait.
constexpr uint64_t kPunchPages = 256;

// How far the hole or reserved stretch at `offset` goes on within the file.
uint64_t UnwrittenBytes(const ArenaFile& file, uint64_t offset) {
  uint64_t page = offset >> Arena::kPageShift;
  const uint64_t end = Arena::PagesCovering(file.size);
  while (page < end) {
    const Segment segment = file.extents.Find(page);
    if (segment.state == PageState::kWritten) {
      break;
    }
    page += segment.count;
  }
  return (page << Arena::kPageShift) - offset;
}

}  // namespace

// Gives freed pages back to the host; they are released when that is done, on the loop thread.
class Arena::PunchJob final : public IoJob {
 public:
  PunchJob(std::shared_ptr<Arena> arena, std::vector<PageRun> runs, uint64_t pages)
      : arena_(std::move(arena)), runs_(std::move(runs)), pages_(pages) {}

  void Run() noexcept override {
    for (const PageRun& run : runs_) {
      arena_->Punch(run);
    }
  }

  void Complete() noexcept override {
    for (const PageRun& run : runs_) {
      arena_->allocator_.Release(run);
    }
    arena_->pending_pages_ -= pages_;
  }

 private:
  const std::shared_ptr<Arena> arena_;
  const std::vector<PageRun> runs_;
  const uint64_t pages_;
};

int Arena::Allocate(ArenaFile& file, int mode, uint64_t offset, uint64_t length) {
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const int operation = mode & ~FALLOC_FL_KEEP_SIZE;
  const bool punches = operation == FALLOC_FL_PUNCH_HOLE && keep_size;
  if (!punches && operation != 0 && operation != FALLOC_FL_ZERO_RANGE) {
    return -EOPNOTSUPP;
  }
  if (length == 0) {
    return -EINVAL;
  }
  if (offset > kMaxFileBytes || length > kMaxFileBytes - offset) {
    return -EFBIG;
  }
  const uint64_t end = offset + length;
  if (punches) {
    PunchRange(file, offset, length);
    file.TouchContents();
    return 0;
  }
  const uint64_t first = offset >> kPageShift;
  const uint64_t count = PagesCovering(end) - first;
  if (file.extents.CountHoles(first, count) > limit_pages_ - used_pages_) {
    return -ENOSPC;
  }
  if (operation == FALLOC_FL_ZERO_RANGE) {
    PunchRange(file, offset, length);
  }
  Reserve(file, first, count);
  if (!keep_size && end > file.size) {
    file.size = end;
  }
  file.TouchContents();
  return 0;
}

int64_t Arena::Seek(const ArenaFile& file, uint64_t offset, int whence) const noexcept {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    return -EINVAL;
  }
  if (offset >= file.size) {
    return -ENXIO;
  }
  const bool wants_data = whence == SEEK_DATA;
  uint64_t position = offset;
  while (position < file.size) {
    const Segment segment = file.extents.Find(position >> kPageShift);
    if ((segment.state == PageState::kWritten) == wants_data) {
      return static_cast<int64_t>(position);
    }
    position = ((position >> kPageShift) + segment.count) << kPageShift;
  }
  return wants_data ? -ENXIO : static_cast<int64_t>(file.size);
}

ssize_t Arena::CopyRange(ArenaFile& from, uint64_t from_offset, ArenaFile& to, uint64_t to_offset,
                         uint64_t length) {
  if (from_offset >= from.size) {
    return 0;
  }
  const uint64_t total = std::min({length, from.size - from_offset, kCopyBytes});
  if (to_offset > kMaxFileBytes - total) {
    return -EFBIG;
  }
  if (&from == &to && from_offset < to_offset + total && to_offset < from_offset + total) {
    return -EINVAL;
  }
  uint64_t done = 0;
  while (done < total) {
    const uint64_t position = from_offset + done;
    const Segment segment = from.extents.Find(position >> kPageShift);
    if (segment.state != PageState::kWritten) {
      const uint64_t count = std::min(total - done, UnwrittenBytes(from, position));
      PunchRange(to, to_offset + done, count);
      done += count;
      to.size = std::max(to.size, to_offset + done);
      continue;
    }
    const uint64_t in_page = position & kPageMask;
    const uint64_t count = std::min(total - done, (segment.count << kPageShift) - in_page);
    const iovec source = {At(segment.physical) + in_page, count};
    const ssize_t copied = Write(to, {&source, 1}, to_offset + done);
    if (copied < 0 && done == 0) {
      return copied;
    }
    if (copied > 0) {
      done += static_cast<uint64_t>(copied);
    }
    if (copied != static_cast<ssize_t>(count)) {
      break;
    }
  }
  if (done > 0) {
    to.TouchContents();
    from.TouchAtime();
  }
  return static_cast<ssize_t>(done);
}

int Arena::Charge(int64_t pages) noexcept {
  if (pages > 0 && static_cast<uint64_t>(pages) > limit_pages_ - used_pages_) {
    return -ENOSPC;
  }
  used_pages_ += static_cast<uint64_t>(pages);
  return 0;
}

PageRun Arena::TakePages(ArenaFile& file, uint64_t page, uint64_t wanted) {
  wanted = std::min(wanted, limit_pages_ - used_pages_);
  PageRun run;
  if (wanted == 0) {
    return run;
  }
  const uint64_t goal = file.extents.Goal(page);
  if (goal != ExtentMap::kNoGoal) {
    run = {goal, allocator_.TakeAt(goal, wanted)};
  }
  if (run.count == 0) {
    // Files that have grown go on growing: room as large as what they have keeps runs few.
    run = allocator_.Take(wanted, std::max(wanted, std::min(file.pages, kMaxRoomPages)));
  }
  used_pages_ += run.count;
  file.pages += run.count;
  return run;
}

void Arena::Punch(PageRun run) const noexcept {
  while (run.count > 0) {
    const uint64_t count = std::min(run.count, kPunchPages);
    if (fallocate(memfd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(run.first << kPageShift),
                  static_cast<off_t>(count << kPageShift)) != 0) {
      std::memset(At(run.first), 0, count << kPageShift);
    }
    run.first += count;
    run.count -= count;
  }
}

void Arena::Discard(std::vector<PageRun> runs) {
  if (closed_) {
    return;
  }
  uint64_t pages = 0;
  for (const PageRun& run : runs) {
    pages += run.count;
  }
  // What is pending must never be what a write needs.
  if (pool_ != nullptr && pages >= kBackgroundPages &&
      pending_pages_ + pages <= capacity_pages_ - limit_pages_) {
    pending_pages_ += pages;
    pool_->Submit(std::make_unique<PunchJob>(shared_from_this(), std::move(runs), pages));
    return;
  }
  for (const PageRun& run : runs) {
    Punch(run);
    allocator_.Release(run);
  }
}

void Arena::Reserve(ArenaFile& file, uint64_t page, uint64_t count) {
  for (const uint64_t end = page + count; page < end;) {
    const Segment segment = file.extents.Find(page);
    uint64_t length = std::min(segment.count, end - page);
    if (segment.state == PageState::kHole) {
      const PageRun run = TakePages(file, page, length);
      if (run.count == 0) {
        return;
      }
      file.extents.Insert(page, run, false);
      length = run.count;
    }
    page += length;
  }
}

void Arena::ReleasePages(ArenaFile& file, uint64_t page, uint64_t count) {
  std::vector<PageRun> written;
  std::vector<PageRun> reserved;
  file.extents.Remove(page, count, written, reserved);
  for (const auto* runs : {&written, &reserved}) {
    for (const PageRun& run : *runs) {
      file.pages -= run.count;
      used_pages_ -= run.count;
    }
  }
  for (const PageRun& run : reserved) {
    allocator_.Release(run);
  }
  if (!written.empty()) {
    Discard(std::move(written));
  }
}

// `length` bytes from `offset` lie in one page.
void Arena::ZeroBytes(ArenaFile& file, uint64_t offset, uint64_t length) noexcept {
  if (length == 0) {
    return;
  }
  const Segment segment = file.extents.Find(offset >> kPageShift);
  if (segment.state == PageState::kWritten) {
    std::memset(At(segment.physical) + (offset & kPageMask), 0, length);
  }
}

void Arena::PunchRange(ArenaFile& file, uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const uint64_t first = PagesCovering(offset);
  const uint64_t last = end >> kPageShift;
  if (first > last) {
    ZeroBytes(file, offset, length);
    return;
  }
  ZeroBytes(file, offset, (first << kPageShift) - offset);
  ReleasePages(file, first, last - first);
  ZeroBytes(file, last << kPageShift, end & kPageMask);
}

}  // namespace gateway
