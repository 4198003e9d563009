// Listings of directories that were read before, used as long as nothing changes in them.
#ifndef NATIVE_POSIX_DIRECTORY_LISTINGS_H_
#define NATIVE_POSIX_DIRECTORY_LISTINGS_H_

#include <sys/stat.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace gateway::posix {

// A directory's change time tells whether its listing still holds: adding, removing and renaming an
// entry all set it, whoever does it. Only file systems of this host's kernel are trusted with that
// (see MediumOf), and only a listing that was read well after the last change is kept: within one
// tick of the kernel's clock a second change leaves the time as it is.
class DirectoryListings {
 public:
  // The raw entries (struct linux_dirent64) behind the one with `offset`, 0 for the start; empty at
  // the end. Nothing when there is no listing that is known to be current: read the directory then,
  // whose position this leaves undefined. Valid until the next call.
  [[nodiscard]] std::optional<std::span<const std::byte>> Find(int fd, int64_t offset);

 private:
  using Inode = std::pair<dev_t, ino_t>;
  struct Listing {
    Inode inode;
    timespec changed = {};
    std::vector<std::byte> entries;
    // Where the last answer began; the next one mostly begins behind it.
    size_t hint_position = 0;
  };

  [[nodiscard]] std::optional<size_t> PositionBehind(Listing& listing, int64_t offset) const;
  // Reads the whole directory. Null when its listing cannot be kept.
  [[nodiscard]] Listing* Load(int fd, const struct stat& before);
  void Drop(std::map<Inode, std::list<Listing>::iterator>::iterator found);

  std::list<Listing> listings_;  // the last used first
  std::map<Inode, std::list<Listing>::iterator> by_inode_;
  size_t bytes_ = 0;
  std::unique_ptr<std::byte[]> scratch_;  // where directories are read
};

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_DIRECTORY_LISTINGS_H_
