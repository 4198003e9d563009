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
// Attributes are asked for in shares of so many entries, by several threads where there are more
// than the time takes in which a helper wakes up.
constexpr size_t kEntriesOfShare = 16;
constexpr size_t kSharedEntries = 64;

struct FuseDirent {
  uint64_t ino;
  int64_t offset;
  uint32_t name_length;
  uint32_t type;
};
static_assert(sizeof(FuseDirent) == kDirentHeaderBytes);

}  // namespace

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

size_t DirectoryReader::StoreEntries(const Request& request, size_t used, bool* full) {
  const size_t prefix = request.plus ? kEntryBytes : 0;
  while (!rest_.empty() && note_count_ + waiting_.size() < request.notes.size()) {
    // SAFETY: the kernel has filled the buffer with whole records, names NUL-terminated.
    const RawEntry raw = ReadRawEntry(rest_.data());
    const char* const text = reinterpret_cast<const char*>(rest_.data() + kRawNameOffset);
    const std::string_view name(text);
    const size_t length = prefix + kDirentHeaderBytes + name.size();
    const size_t size = (length + 7) & ~size_t{7};
    if (used + size > request.into.size()) {
      *full = true;
      break;
    }
    std::byte* const record = request.into.data() + used;
    const FuseDirent dirent = {raw.ino, raw.offset, static_cast<uint32_t>(name.size()), raw.type};
    std::memset(record, 0, prefix);
    std::memcpy(record + prefix, &dirent, sizeof(dirent));
    std::memcpy(record + prefix + kDirentHeaderBytes, name.data(), name.size());
    std::memset(record + length, 0, size - length);
    if (request.plus) {
      waiting_.push_back({used, size, name == "." || name == ".." ? nullptr : text, 0, {}});
    }
    used += size;
    rest_ = rest_.subspan(raw.length);
    next_offset_ = raw.offset;
  }
  return used;
}

size_t DirectoryReader::AddAttributes(const Request& request, size_t used) {
  const auto add = [&](uint32_t share) {
    const size_t end = std::min<size_t>(waiting_.size(), (share + 1) * kEntriesOfShare);
    for (size_t i = share * kEntriesOfShare; i < end; ++i) {
      Waiting& entry = waiting_[i];
      if (entry.name == nullptr) continue;
      std::array<uint32_t, kAttrWords> attr;
      entry.status = StatAt(request.fd, entry.name, attr);
      if (entry.status != 0) continue;
      std::byte* const record = request.into.data() + entry.position;
      std::memcpy(record + kEntryAttrBytes, attr.data(), kFuseAttrWords * sizeof(uint32_t));
      const uint32_t type = attr[kModeWord] >> 12;
      std::memcpy(record + kEntryBytes + offsetof(FuseDirent, type), &type, sizeof(type));
      entry.note = {0,
                    attr[kAttrDev],
                    attr[kAttrMount],
                    attr[kAttrBirth],
                    attr[kAttrBirth + 1],
                    attr[kAttrBirthNsec]};
    }
  };
  const auto shares =
      static_cast<uint32_t>((waiting_.size() + kEntriesOfShare - 1) / kEntriesOfShare);
  if (request.helpers != nullptr && waiting_.size() >= kSharedEntries) {
    request.helpers->Run(shares, add);
  } else {
    for (uint32_t share = 0; share < shares; ++share) add(share);
  }
  size_t kept = waiting_.empty() ? used : waiting_.front().position;
  for (Waiting& entry : waiting_) {
    if (entry.status == -ENOENT) continue;
    if (kept != entry.position) {
      std::memmove(request.into.data() + kept, request.into.data() + entry.position, entry.size);
    }
    if (entry.name != nullptr && entry.status == 0) {
      entry.note.position = static_cast<uint32_t>(kept);
      request.notes[note_count_++] = entry.note;
    }
    kept += entry.size;
  }
  waiting_.clear();
  return kept;
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
  bool full = false;
  while (!full && note_count_ < request.notes.size()) {
    if (rest_.empty()) {
      const int filled = more ? Fill(request) : 0;
      // What is stored already goes out; the error comes back at the next call.
      if (filled < 0) return used > 0 ? static_cast<int>(used) : filled;
      if (rest_.empty()) break;
    }
    used = StoreEntries(request, used, &full);
    // Before `rest_` is filled again, which the names are in.
    if (request.plus) used = AddAttributes(request, used);
  }
  return full && used == 0 ? -EINVAL : static_cast<int>(used);
}

}  // namespace gateway::posix
