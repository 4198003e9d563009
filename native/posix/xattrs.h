// Extended attributes of any file, symbolic links and special files included, without opening it.
#ifndef NATIVE_POSIX_XATTRS_H_
#define NATIVE_POSIX_XATTRS_H_

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace gateway::posix {

// Each returns what its system call returns, or -errno. An empty `into` asks for the length.
[[nodiscard]] ssize_t GetXattr(int fd, const char* name, std::span<std::byte> into) noexcept;
// Of a descriptor that was opened, which needs no way through /proc.
[[nodiscard]] ssize_t GetXattrOfOpen(int fd, const char* name, std::span<std::byte> into) noexcept;
[[nodiscard]] ssize_t ListXattr(int fd, std::span<std::byte> into) noexcept;
[[nodiscard]] int SetXattr(int fd, const char* name, std::span<const std::byte> value,
                           int flags) noexcept;
[[nodiscard]] int RemoveXattr(int fd, const char* name) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_XATTRS_H_
