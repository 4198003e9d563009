#include "native/posix/directory_reader.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "native/posix/attributes.h"
#include "native/posix/raw_entry.h"

namespace gateway::posix {
namespace {

constexpr size_t kDirentHeaderBytes = 24;  // struct fuse_dirent before the name
constexpr size_t kEntryBytes = 128;        // struct fuse_entry_out
constexpr size_t kEntryAttrBytes = 40;     // its part before the attributes
constexpr size_t kModeWord = 15;
constexpr size_t kSmallestBatch = 1024;

struct FuseDirent {
  uint64_t ino;
  int64_t offset;
  uint32_t name_length;
  uint32_t type;
};
static_assert(sizeof(FuseDirent) == kDirentHeaderBytes);

}  // namespace

struct DirectoryReader::Entry {
  RawEntry raw;
  std::string_view name;
};

// Reads about as many entries as the guest has room for: they shrink by six when attributes are
// stripped.
int DirectoryReader::Fill(const Request& request) {
  const size_t wanted = request.plus ? request.into.size() / 4 : request.into.size();
  const size_t size = std::clamp(wanted, kSmallestBatch, buffer_.size());
  const long length = syscall(SYS_getdents64, request.fd, buffer_.data(), size);
  if (length < 0) return -errno;
  rest_ = std::span<const std::byte>(buffer_).first(static_cast<size_t>(length));
  return 0;
}

int DirectoryReader::Store(const Request& request, const Entry& entry, size_t used) {
  const size_t prefix = request.plus ? kEntryBytes : 0;
  const size_t length = prefix + kDirentHeaderBytes + entry.name.size();
  const size_t size = (length + 7) & ~size_t{7};
  if (used + size > request.into.size()) return 0;
  std::byte* const record = request.into.data() + used;
  FuseDirent dirent = {entry.raw.ino, entry.raw.offset, static_cast<uint32_t>(entry.name.size()),
                       entry.raw.type};
  if (request.plus) {
    std::memset(record, 0, kEntryBytes);
    if (entry.name != "." && entry.name != "..") {
      std::array<uint32_t, kAttrWords> attr;
      const int status = StatAt(request.fd, entry.name.data(), attr);
      if (status == -ENOENT) return -1;
      if (status == 0) {
        std::memcpy(record + kEntryAttrBytes, attr.data(), kFuseAttrWords * sizeof(uint32_t));
        dirent.type = attr[kModeWord] >> 12;
        request.notes[note_count_++] = {
            static_cast<uint32_t>(used), attr[kAttrDev],      attr[kAttrMount], attr[kAttrBirth],
            attr[kAttrBirth + 1],        attr[kAttrBirthNsec]};
      }
    }
  }
  std::memcpy(record + prefix, &dirent, sizeof(dirent));
  std::memcpy(record + prefix + kDirentHeaderBytes, entry.name.data(), entry.name.size());
  std::memset(record + length, 0, size - length);
  return static_cast<int>(size);
}

int DirectoryReader::Read(const Request& request) noexcept {
  note_count_ = 0;
  const bool goes_on =
      request.fd == owner_ && request.offset != 0 && request.offset == next_offset_;
  if (goes_on) return ReadRest(request, /*more=*/true);
  owner_ = -1;
  if (const auto listed = listings_.Find(request.fd, request.offset)) {
    rest_ = *listed;
    return ReadRest(request, /*more=*/false);
  }
  if (lseek(request.fd, request.offset, SEEK_SET) < 0) return -errno;
  owner_ = request.fd;
  next_offset_ = request.offset;
  rest_ = {};
  return ReadRest(request, /*more=*/true);
}

int DirectoryReader::ReadRest(const Request& request, bool more) {
  size_t used = 0;
  while (note_count_ < request.notes.size()) {
    if (rest_.empty()) {
      const int filled = more ? Fill(request) : 0;
      // What is stored already goes out; the error comes back at the next call.
      if (filled < 0) return used > 0 ? static_cast<int>(used) : filled;
      if (rest_.empty()) break;
    }
    // SAFETY: the kernel has filled the buffer with whole records, names NUL-terminated.
    const Entry entry = {ReadRawEntry(rest_.data()),
                         reinterpret_cast<const char*>(rest_.data() + kRawNameOffset)};
    const int stored = Store(request, entry, used);
    if (stored == 0) return used > 0 ? static_cast<int>(used) : -EINVAL;
    if (stored > 0) used += static_cast<size_t>(stored);
    rest_ = rest_.subspan(entry.raw.length);
    next_offset_ = entry.raw.offset;
  }
  return static_cast<int>(used);
}

}  // namespace gateway::posix
