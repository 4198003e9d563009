// Files by handle: what stays of a file when its descriptor is closed, and the way back.
#ifndef NATIVE_POSIX_FILE_HANDLES_H_
#define NATIVE_POSIX_FILE_HANDLES_H_

#include <cstddef>
#include <span>
#include <string_view>

namespace gateway::posix {

// Mount id and handle type (four bytes each), then the handle itself.
constexpr size_t kHandleHeaderBytes = 8;
constexpr size_t kMaxHandleBytes = kHandleHeaderBytes + 128;

// Stores the handle of `name` in a directory (links are not followed), or of what `fd` stands for
// when `name` is empty. Returns its length, or -errno: EOPNOTSUPP where the file system has none.
[[nodiscard]] int NameToHandle(int fd, const char* name, std::span<char> into) noexcept;

// Opens a handle with open(2) `flags`: any file as a path (O_PATH), regular files and directories
// also for I/O. `mount` is an open descriptor (no O_PATH) on the mount whose id the handle carries.
// ESTALE: the file is gone. EPERM: the process lacks CAP_DAC_READ_SEARCH.
[[nodiscard]] int OpenHandle(int mount, std::string_view handle, int flags) noexcept;

// The UUID of the file system that holds `fd`, which is open. ENOTTY where the file system or the
// kernel (before Linux 6.9) does not say.
[[nodiscard]] int FileSystemUuid(int fd, std::span<std::byte, 16> into) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_FILE_HANDLES_H_
