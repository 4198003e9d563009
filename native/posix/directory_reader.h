// Directory listings in the layout of the guest's kernel, written straight into the reply.
#ifndef NATIVE_POSIX_DIRECTORY_READER_H_
#define NATIVE_POSIX_DIRECTORY_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "native/io/helper_team.h"
#include "native/posix/directory_listings.h"

namespace gateway::posix {

// What JavaScript needs to know of an entry beside its record to find the node: the record's place
// and the parts of the file's identity that the record does not carry. Six words of an array.
struct EntryNote {
  uint32_t position;
  uint32_t dev;
  uint32_t mount;
  uint32_t birth_low;
  uint32_t birth_high;
  uint32_t birth_nsec;
};

// Reads any number of directories, one call at a time. Without a listing it keeps the entries of
// the last batch that did not fit; another directory in between costs one lseek, not a byte of
// memory per open directory.
class DirectoryReader {
 public:
  struct Request {
    int fd;
    // d_off of the entry to go on behind; 0 for the start.
    int64_t offset;
    // Entries carry attributes (fuse_direntplus).
    bool plus;
    std::span<std::byte> into;
    std::span<EntryNote> notes;
    // Who helps with the attributes, if anybody.
    HelperTeam* helpers = nullptr;
  };

  // Returns bytes stored in `into`, 0 at the end of the directory, or -errno (EINVAL when not even
  // one entry fits). Stores in notes() how many entries have a note: those with attributes.
  [[nodiscard]] int Read(const Request& request) noexcept;
  [[nodiscard]] uint32_t notes() const { return note_count_; }

  // To be called before the descriptor is closed.
  void Forget(int fd) {
    if (fd == owner_) owner_ = -1;
  }

 private:
  // A record of the reply that waits for its attributes.
  struct Waiting {
    size_t position;
    size_t size;
    const char* name;  // NUL-terminated; null where no attributes are wanted (. and ..)
    int status;
    EntryNote note;
  };

  // Stores what is left in `rest_` and, with `more`, what the directory has behind it.
  [[nodiscard]] int ReadRest(const Request& request, bool more);
  [[nodiscard]] int Fill(const Request& request);
  // Stores entries of `rest_`, names first, until something is full or `rest_` is empty. Returns
  // where they end in the reply; `*full` says that there is no room for the next.
  [[nodiscard]] size_t StoreEntries(const Request& request, size_t used, bool* full);
  // Fills in attributes, takes out what is gone, and returns where the records end then.
  [[nodiscard]] size_t AddAttributes(const Request& request, size_t used);

  DirectoryListings listings_;
  // Whose entries `rest_` are, unless they are a listing's, and the d_off behind which they lie.
  int owner_ = -1;
  int64_t next_offset_ = 0;
  std::span<const std::byte> rest_;
  std::vector<Waiting> waiting_;
  uint32_t note_count_ = 0;
  alignas(8) std::array<std::byte, 64 * 1024> buffer_;
};

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_DIRECTORY_READER_H_
