// The ioctls that read and change inode flags (chattr, lsattr, project quota).
#ifndef NATIVE_POSIX_INODE_FLAGS_H_
#define NATIVE_POSIX_INODE_FLAGS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "native/posix/credentials.h"

namespace gateway::posix {

// FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and FSSETXATTR on an open regular file or directory, as
// `caller`: which flags may change depends on its capabilities. Returns bytes stored in `into`, or
// -errno: ENOTTY for any other command, EINVAL when a buffer is too small for the command.
[[nodiscard]] int InodeFlagsIoctl(int fd, uint32_t command, std::span<const std::byte> input,
                                  std::span<std::byte> into, const Identity& caller) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_INODE_FLAGS_H_
