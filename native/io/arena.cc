#include "native/io/arena.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "native/io/buffer_cursor.h"

namespace gateway {
namespace {

constexpr int64_t kDaySeconds = 86400;

bool IsNotNewer(const ArenaTime& left, const ArenaTime& right) {
  return left.seconds < right.seconds ||
         (left.seconds == right.seconds && left.nanoseconds <= right.nanoseconds);
}

}  // namespace

ArenaTime ArenaTime::Now() noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<uint32_t>(now.tv_nsec)};
}

void ArenaFile::TouchAtime() noexcept {
  if (!IsNotNewer(atime, mtime) && !IsNotNewer(atime, ctime)) {
    timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec - atime.seconds < kDaySeconds) {
      return;
    }
  }
  atime = ArenaTime::Now();
}

void ArenaFile::TouchContents() noexcept {
  mtime = ArenaTime::Now();
  ctime = mtime;
}

std::shared_ptr<Arena> Arena::Create(uint64_t limit_pages, IoPool* pool, int& error) {
  error = EINVAL;
  if (limit_pages == 0 || limit_pages > kMaxLimitPages) {
    return nullptr;
  }
  UniqueFd memfd(memfd_create("virtiofs-gateway-arena", MFD_CLOEXEC));
  // Twice the limit, so that runs find room and pages that are being punched are not missed.
  for (const uint64_t capacity : {limit_pages * 2, limit_pages}) {
    const uint64_t bytes = capacity << kPageShift;
    if (!memfd.valid() || ftruncate(memfd.get(), static_cast<off_t>(bytes)) != 0) {
      error = errno;
      return nullptr;
    }
    void* const base =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd.get(), 0);
    if (base == MAP_FAILED) {
      error = errno;
      continue;
    }
    madvise(base, bytes, MADV_DONTDUMP);
    auto arena = std::make_shared<Arena>(std::move(memfd), static_cast<std::byte*>(base), capacity,
                                         limit_pages, pool);
    if (!arena->allocator_.Reset(capacity)) {
      error = ENOMEM;
      return nullptr;
    }
    return arena;
  }
  return nullptr;
}

Arena::Arena(UniqueFd memfd, std::byte* base, uint64_t capacity_pages, uint64_t limit_pages,
             IoPool* pool) noexcept
    : memfd_(std::move(memfd)),
      base_(base),
      capacity_pages_(capacity_pages),
      limit_pages_(limit_pages),
      pool_(pool) {}

Arena::~Arena() { munmap(base_, capacity_pages_ << kPageShift); }

void Arena::Close() noexcept {
  closed_ = true;
  pool_ = nullptr;
}

ArenaFile& Arena::CreateFile() {
  auto file = std::make_unique<ArenaFile>();
  file->atime = file->mtime = file->ctime = ArenaTime::Now();
  ArenaFile& result = *file;
  if (free_numbers_.empty()) {
    result.number = static_cast<uint32_t>(files_.size());
    files_.push_back(std::move(file));
  } else {
    result.number = free_numbers_.back();
    free_numbers_.pop_back();
    files_[result.number] = std::move(file);
  }
  return result;
}

ArenaFile* Arena::Find(uint32_t number) noexcept {
  return number < files_.size() ? files_[number].get() : nullptr;
}

void Arena::Unreference(ArenaFile& file) {
  if (--file.references > 0) {
    return;
  }
  ReleasePages(file, 0, ExtentMap::kPageLimit);
  free_numbers_.push_back(file.number);
  files_[file.number].reset();
}

ssize_t Arena::Read(ArenaFile& file, std::span<const iovec> vectors, uint64_t offset,
                    bool keep_atime) noexcept {
  BufferCursor buffers(vectors);
  if (offset >= file.size || buffers.remaining() == 0) {
    return 0;
  }
  const uint64_t total = std::min(buffers.remaining(), file.size - offset);
  for (uint64_t done = 0; done < total;) {
    const uint64_t position = offset + done;
    const Segment segment = file.extents.Find(position >> kPageShift);
    const uint64_t in_page = position & kPageMask;
    const uint64_t count = std::min(total - done, (segment.count << kPageShift) - in_page);
    if (segment.state == PageState::kWritten) {
      buffers.CopyFrom(At(segment.physical) + in_page, count);
    } else {
      buffers.FillZero(count);
    }
    done += count;
  }
  if (!keep_atime) {
    file.TouchAtime();
  }
  return static_cast<ssize_t>(total);
}

ssize_t Arena::Write(ArenaFile& file, std::span<const iovec> vectors, uint64_t offset) {
  BufferCursor buffers(vectors);
  if (buffers.remaining() == 0) {
    return 0;
  }
  if (offset >= kMaxFileBytes) {
    return -EFBIG;
  }
  const uint64_t total = std::min(buffers.remaining(), kMaxFileBytes - offset);
  uint64_t done = 0;
  ssize_t error = 0;
  while (done < total) {
    const uint64_t position = offset + done;
    const Segment segment = file.extents.Find(position >> kPageShift);
    if (segment.state == PageState::kWritten) {
      const uint64_t in_page = position & kPageMask;
      const uint64_t count = std::min(total - done, (segment.count << kPageShift) - in_page);
      buffers.CopyTo(At(segment.physical) + in_page, count);
      done += count;
      continue;
    }
    const ssize_t count = WriteFresh(file, segment, buffers, position, total - done);
    if (count < 0) {
      error = count;
      break;
    }
    done += static_cast<uint64_t>(count);
  }
  if (done == 0) {
    return error;
  }
  file.size = std::max(file.size, offset + done);
  file.TouchContents();
  return static_cast<ssize_t>(done);
}

ssize_t Arena::WriteFresh(ArenaFile& file, const Segment& segment, BufferCursor& buffers,
                          uint64_t offset, uint64_t length) {
  const uint64_t page = offset >> kPageShift;
  const uint64_t in_page = offset & kPageMask;
  const uint64_t wanted = std::min(segment.count, PagesCovering(in_page + length));
  const bool is_hole = segment.state == PageState::kHole;
  const PageRun run = is_hole ? TakePages(file, page, wanted) : PageRun{segment.physical, wanted};
  if (run.count == 0) {
    return -ENOSPC;
  }
  const uint64_t bytes = std::min(length, (run.count << kPageShift) - in_page);
  const ssize_t count = buffers.WriteTo(memfd_.get(), (run.first << kPageShift) + in_page, bytes);
  const uint64_t written = count <= 0 ? 0 : PagesCovering(in_page + static_cast<uint64_t>(count));
  if (is_hole) {
    if (written > 0) {
      file.extents.Insert(page, {run.first, written}, true);
    }
    if (written < run.count) {
      file.pages -= run.count - written;
      used_pages_ -= run.count - written;
      Discard({{run.first + written, run.count - written}});
    }
  } else if (written > 0) {
    file.extents.MarkWritten(page, written);
  }
  return count;
}

int Arena::Truncate(ArenaFile& file, uint64_t size) {
  if (size > kMaxFileBytes) {
    return -EFBIG;
  }
  if (size <= file.size) {
    ZeroBytes(file, size, (kPageBytes - (size & kPageMask)) & kPageMask);
    const uint64_t first = PagesCovering(size);
    ReleasePages(file, first, ExtentMap::kPageLimit - first);
  }
  file.size = size;
  file.TouchContents();
  return 0;
}

BoundArenaFile::BoundArenaFile(std::shared_ptr<Arena> arena, ArenaFile& file, bool append,
                               bool keep_atime) noexcept
    : arena_(std::move(arena)), file_(file), append_(append), keep_atime_(keep_atime) {
  ++file_.references;
}

BoundArenaFile::~BoundArenaFile() { arena_->Unreference(file_); }

ssize_t BoundArenaFile::Read(std::span<const iovec> buffers, uint64_t offset,
                             Blocking /*blocking*/) noexcept {
  return arena_->Read(file_, buffers, offset, keep_atime_);
}

ssize_t BoundArenaFile::Write(std::span<const iovec> buffers, uint64_t offset,
                              Blocking /*blocking*/) noexcept {
  return arena_->Write(file_, buffers, append_ ? file_.size : offset);
}

}  // namespace gateway
