// The contents of a memory share: files whose pages lie in one memfd.
#ifndef NATIVE_IO_ARENA_H_
#define NATIVE_IO_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "native/io/bound_file.h"
#include "native/io/extent_map.h"
#include "native/io/page_allocator.h"
#include "native/io/unique_fd.h"

namespace gateway {

class BufferCursor;
class IoPool;

// A point in time: seconds since the epoch and 0 to 999,999,999 nanoseconds.
struct ArenaTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;

  static ArenaTime Now() noexcept;
};

// Which times Touch() and SetTimes() are about.
enum ArenaTimeMask : uint32_t { kAtime = 1, kMtime = 2, kCtime = 4 };

// One file of an arena. Its fields are read by anyone and changed by Arena alone.
struct ArenaFile {
  ExtentMap extents;
  uint64_t size = 0;
  // Pages that are reserved or written.
  uint64_t pages = 0;
  ArenaTime atime;
  ArenaTime mtime;
  ArenaTime ctime;
  // A write by an unprivileged user may have to clear setuid, setgid or capabilities.
  bool may_have_privileges = false;
  uint32_t number = 0;
  // The creator's reference, and one per bound file.
  uint32_t references = 1;

  // Something was read: atime becomes now as relatime has it.
  void TouchAtime() noexcept;
  // mtime and ctime become now.
  void TouchContents() noexcept;
};

// Files in memory, with a limit on the pages that they have together.
//
// All of it belongs to the loop thread: it never waits for a disk, so nothing is sent to a pool and
// nothing is locked. The exception is giving a large freed stretch back to the host, which a pool
// thread does; those pages are handed out again when that is done.
//
// The memfd is mapped as a whole. Pages that have contents are read and overwritten through the
// mapping; pages are only ever created by pwritev(2), so that a host without memory answers with an
// error instead of SIGBUS. Invariants: a page that is not kWritten holds no memory of the host;
// bytes of a written page behind the end of its file are zero.
//
// Offsets are at most kMaxFileBytes. Functions return 0 or a count, or -errno.
class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static constexpr unsigned kPageShift = 12;
  static constexpr uint64_t kPageBytes = uint64_t{1} << kPageShift;
  static constexpr uint64_t kPageMask = kPageBytes - 1;
  static constexpr uint64_t kMaxFileBytes = (uint64_t{1} << 63) - 1;
  // The largest limit; address space for twice as much is reserved where there is any.
  static constexpr uint64_t kMaxLimitPages = uint64_t{1} << (45 - kPageShift);
  // What one CopyRange() copies at most, so that the loop turns in between.
  static constexpr uint64_t kCopyBytes = uint64_t{1} << 20;

  // `pool` frees large stretches in the background; without one it is done at once. Returns null
  // and sets `error` to an errno when the host has no descriptor, address space or memory.
  static std::shared_ptr<Arena> Create(uint64_t limit_pages, IoPool* pool, int& error);

  static constexpr uint64_t PagesCovering(uint64_t bytes) {
    return (bytes >> kPageShift) + ((bytes & kPageMask) != 0 ? 1 : 0);
  }

  // Use Create().
  Arena(UniqueFd memfd, std::byte* base, uint64_t capacity_pages, uint64_t limit_pages,
        IoPool* pool) noexcept;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // Nothing but Unreference() is called afterwards: pages need not be given back any more, and the
  // pool is no longer used.
  void Close() noexcept;

  // An empty file with one reference and all times now. Numbers of files that are gone are reused.
  [[nodiscard]] ArenaFile& CreateFile();
  // Null when there is no such file.
  [[nodiscard]] ArenaFile* Find(uint32_t number) noexcept;
  // The last reference frees the file and its pages.
  void Unreference(ArenaFile& file);

  // Short at the end of the file. Follows relatime: atime becomes now when it is not newer than
  // mtime and ctime, or older than a day, unless `keep_atime`.
  [[nodiscard]] ssize_t Read(ArenaFile& file, std::span<const iovec> buffers, uint64_t offset,
                             bool keep_atime = false) noexcept;

  // Short when the limit is reached or a buffer faults in the middle, -ENOSPC or -EFAULT when that
  // is at the start, -EFBIG at the largest size. Sets mtime and ctime.
  [[nodiscard]] ssize_t Write(ArenaFile& file, std::span<const iovec> buffers, uint64_t offset);

  // Sets mtime and ctime, also when the size stays: what is reserved behind it goes then. -EFBIG.
  [[nodiscard]] int Truncate(ArenaFile& file, uint64_t size);

  // fallocate(2) with mode 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE or ZERO_RANGE |
  // KEEP_SIZE; -EOPNOTSUPP for others, -EINVAL, -EFBIG, and -ENOSPC without any change.
  [[nodiscard]] int Allocate(ArenaFile& file, int mode, uint64_t offset, uint64_t length);

  // lseek(2) with SEEK_DATA or SEEK_HOLE; reserved pages are a hole. -ENXIO, -EINVAL.
  [[nodiscard]] int64_t Seek(const ArenaFile& file, uint64_t offset, int whence) const noexcept;

  // copy_file_range(2): up to kCopyBytes; holes stay holes. -EINVAL when the ranges overlap in one
  // file, otherwise as Read() and Write().
  [[nodiscard]] ssize_t CopyRange(ArenaFile& from, uint64_t from_offset, ArenaFile& to,
                                  uint64_t to_offset, uint64_t length);

  // Counts `pages` (negative: gives back) for what the share keeps elsewhere. -ENOSPC.
  [[nodiscard]] int Charge(int64_t pages) noexcept;

  [[nodiscard]] uint64_t used_pages() const noexcept { return used_pages_; }
  [[nodiscard]] uint64_t limit_pages() const noexcept { return limit_pages_; }
  // For mapping pages elsewhere: page `physical` of a Segment is at byte physical * kPageBytes.
  [[nodiscard]] int memfd() const noexcept { return memfd_.get(); }

 private:
  class PunchJob;

  [[nodiscard]] std::byte* At(uint64_t physical) const noexcept {
    return base_ + (physical << kPageShift);
  }
  [[nodiscard]] PageRun TakePages(ArenaFile& file, uint64_t page, uint64_t wanted);
  // Returns the host's memory of pages of the arena: they read as zeros afterwards.
  void Punch(PageRun run) const noexcept;
  // Punches and releases runs that no file has any more, large amounts in the background.
  void Discard(std::vector<PageRun> runs);
  // The part of a write that lies in pages without contents, `segment` of them from `offset` on.
  [[nodiscard]] ssize_t WriteFresh(ArenaFile& file, const Segment& segment, BufferCursor& buffers,
                                   uint64_t offset, uint64_t length);
  // Gives holes pages; the caller has checked that the limit allows it.
  void Reserve(ArenaFile& file, uint64_t page, uint64_t count);
  void ReleasePages(ArenaFile& file, uint64_t page, uint64_t count);
  void ZeroBytes(ArenaFile& file, uint64_t offset, uint64_t length) noexcept;
  void PunchRange(ArenaFile& file, uint64_t offset, uint64_t length);

  const UniqueFd memfd_;
  std::byte* const base_;
  const uint64_t capacity_pages_;
  const uint64_t limit_pages_;
  IoPool* pool_;
  bool closed_ = false;
  uint64_t used_pages_ = 0;
  // Pages that no file has and whose PunchJob is not done.
  uint64_t pending_pages_ = 0;
  PageAllocator allocator_;
  std::vector<std::unique_ptr<ArenaFile>> files_;
  std::vector<uint32_t> free_numbers_;
};

// A handle on a file of an arena.
class BoundArenaFile final : public BoundFile {
 public:
  // Takes a reference to `file`.
  BoundArenaFile(std::shared_ptr<Arena> arena, ArenaFile& file, bool append,
                 bool keep_atime) noexcept;
  // On the loop thread.
  ~BoundArenaFile() override;

  [[nodiscard]] ssize_t Read(std::span<const iovec> buffers, uint64_t offset,
                             Blocking blocking) noexcept override;
  [[nodiscard]] ssize_t Write(std::span<const iovec> buffers, uint64_t offset,
                              Blocking blocking) noexcept override;
  [[nodiscard]] bool MayHavePrivileges() noexcept override { return file_.may_have_privileges; }

 private:
  const std::shared_ptr<Arena> arena_;
  ArenaFile& file_;
  const bool append_;
  const bool keep_atime_;
};

}  // namespace gateway

#endif  // NATIVE_IO_ARENA_H_
