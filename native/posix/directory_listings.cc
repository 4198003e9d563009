#include "native/posix/directory_listings.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native/posix/files.h"
#include "native/posix/raw_entry.h"

namespace gateway::posix {
namespace {

// Of one listing: some 6,000 names of ten bytes, which take less than a millisecond to read.
constexpr size_t kMostBytesOfOne = 256 * 1024;
constexpr size_t kMostBytes = 4 * 1024 * 1024;
// What a listing takes beside its entries.
constexpr size_t kOverhead = 256;
// Several ticks of the slowest clock that Linux keeps file times with.
constexpr int64_t kSettledNs = 50'000'000;
constexpr int64_t kNsPerSecond = 1'000'000'000;

bool IsSame(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool IsSettled(const timespec& changed) {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const int64_t seconds = int64_t{now.tv_sec} - int64_t{changed.tv_sec};
  return seconds > 1 ||
         (seconds >= 0 && seconds * kNsPerSecond + now.tv_nsec - changed.tv_nsec > kSettledNs);
}

}  // namespace

std::optional<std::span<const std::byte>> DirectoryListings::Find(int fd, int64_t offset) {
  struct stat now;
  // A directory that was removed lists nothing at all.
  if (fstat(fd, &now) != 0 || now.st_nlink == 0) return std::nullopt;
  const auto found = by_inode_.find({now.st_dev, now.st_ino});
  Listing* listing = nullptr;
  if (found != by_inode_.end()) {
    if (IsSame(found->second->changed, now.st_ctim)) {
      listings_.splice(listings_.begin(), listings_, found->second);
      listing = &*found->second;
    } else {
      Drop(found);
    }
  }
  if (listing == nullptr && offset == 0) listing = Load(fd, now);
  if (listing == nullptr) return std::nullopt;
  const std::optional<size_t> position = PositionBehind(*listing, offset);
  if (!position) return std::nullopt;
  return std::span<const std::byte>(listing->entries).subspan(*position);
}

std::optional<size_t> DirectoryListings::PositionBehind(Listing& listing, int64_t offset) const {
  if (offset == 0) return 0;
  const std::vector<std::byte>& entries = listing.entries;
  const auto search = [&](size_t begin, size_t end) -> std::optional<size_t> {
    for (size_t at = begin; at < end;) {
      const RawEntry entry = ReadRawEntry(entries.data() + at);
      at += entry.length;
      if (entry.offset == offset) return at;
    }
    return std::nullopt;
  };
  std::optional<size_t> position = search(listing.hint_position, entries.size());
  if (!position) position = search(0, listing.hint_position);
  if (position) listing.hint_position = *position;
  return position;
}

DirectoryListings::Listing* DirectoryListings::Load(int fd, const struct stat& before) {
  const bool small = before.st_size >= 0 && static_cast<size_t>(before.st_size) <= kMostBytesOfOne;
  if (!small || !IsSettled(before.st_ctim)) return nullptr;
  const Medium medium = MediumOf(fd);
  if (medium != Medium::kMemory && medium != Medium::kDisk) return nullptr;
  if (lseek(fd, 0, SEEK_SET) < 0) return nullptr;
  std::vector<std::byte> entries(kMostBytesOfOne);
  size_t used = 0;
  while (true) {
    const long length = syscall(SYS_getdents64, fd, entries.data() + used, entries.size() - used);
    // A full buffer is EINVAL.
    if (length < 0) return nullptr;
    if (length == 0) break;
    used += static_cast<size_t>(length);
  }
  struct stat after;
  if (fstat(fd, &after) != 0 || !IsSame(before.st_ctim, after.st_ctim)) return nullptr;
  entries.resize(used);
  entries.shrink_to_fit();
  const Inode inode = {before.st_dev, before.st_ino};
  listings_.push_front({inode, before.st_ctim, std::move(entries)});
  by_inode_[inode] = listings_.begin();
  bytes_ += used + kOverhead;
  while (bytes_ > kMostBytes) Drop(by_inode_.find(listings_.back().inode));
  return &listings_.front();
}

void DirectoryListings::Drop(std::map<Inode, std::list<Listing>::iterator>::iterator found) {
  bytes_ -= found->second->entries.size() + kOverhead;
  listings_.erase(found->second);
  by_inode_.erase(found);
}

}  // namespace gateway::posix
