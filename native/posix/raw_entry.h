// struct linux_dirent64 as getdents64(2) fills it, which no header declares.
#ifndef NATIVE_POSIX_RAW_ENTRY_H_
#define NATIVE_POSIX_RAW_ENTRY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gateway::posix {

// What precedes the NUL-terminated name. The kernel fills buffers with whole records.
struct RawEntry {
  uint64_t ino;
  int64_t offset;
  uint16_t length;
  uint8_t type;
};
constexpr size_t kRawNameOffset = 19;

inline RawEntry ReadRawEntry(const std::byte* from) noexcept {
  RawEntry entry;
  std::memcpy(&entry, from, sizeof(entry));
  return entry;
}

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_RAW_ENTRY_H_
