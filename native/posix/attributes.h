// File attributes as 32-bit words: AttrRecord of src/vfs/attributes.ts, whose layout this mirrors.
#ifndef NATIVE_POSIX_ATTRIBUTES_H_
#define NATIVE_POSIX_ATTRIBUTES_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

struct statx;

namespace gateway::posix {

constexpr size_t kAttrWords = 32;
// The first words are `struct fuse_attr`.
constexpr size_t kFuseAttrWords = 22;
using AttrWords = std::span<uint32_t, kAttrWords>;

// Words that the server keeps to itself.
constexpr size_t kAttrDev = 22;
constexpr size_t kAttrBirth = 24;
constexpr size_t kAttrBirthNsec = 26;
constexpr size_t kAttrMount = 27;
constexpr size_t kAttrInodeFlags = 28;

// Attributes of a directory's entry, symbolic links not followed. 0 or -errno.
[[nodiscard]] int StatAt(int directory, const char* name, AttrWords out) noexcept;

// Attributes of what a descriptor stands for. 0 or -errno.
[[nodiscard]] int StatFd(int fd, AttrWords out) noexcept;

// Between the kernel's 32-bit form of device numbers (new_encode_dev) and dev_t.
[[nodiscard]] dev_t DecodeDevice(uint32_t encoded) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_ATTRIBUTES_H_
