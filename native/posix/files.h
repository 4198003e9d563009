// System calls on files below a share. Names are one checked path component (see IsComponent);
// descriptors may be O_PATH. Results are >= 0 or -errno.
#ifndef NATIVE_POSIX_FILES_H_
#define NATIVE_POSIX_FILES_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "native/posix/attributes.h"
#include "native/posix/credentials.h"

namespace gateway::posix {

// Whether `name` is one path component of 1 to 255 bytes that names an entry: not "." or "..".
// Everything that takes a name from a guest relies on it: such a name cannot leave its directory.
[[nodiscard]] bool IsComponent(std::string_view name) noexcept;

// Opens an entry as a mere path (O_PATH): nothing is opened on the host, links are not followed.
// `out` are the attributes of what was opened.
[[nodiscard]] int OpenPath(int directory, const char* name, AttrWords out) noexcept;

// The directory to serve, as a path.
[[nodiscard]] int OpenRoot(const char* path, AttrWords out) noexcept;

// The directory above `directory` as a path, if it lies below `root` or is `root`; ESTALE when the
// host has moved it out. `root` is its own parent.
[[nodiscard]] int OpenParent(int directory, int root, AttrWords out) noexcept;

// Opens again what `fd` stands for. Only for regular files and directories: opening anything else
// has side effects on the host. `kill_suidgid` lets O_TRUNC clear setuid and setgid.
[[nodiscard]] int Reopen(int fd, int flags, bool kill_suidgid = false) noexcept;

// Creations, as `caller`.
[[nodiscard]] int MakeDirectory(int directory, const char* name, mode_t mode,
                                const Identity& caller) noexcept;
// These with the attributes of what is there afterwards.
[[nodiscard]] int OpenCreate(int directory, const char* name, int flags, mode_t mode,
                             const Identity& caller, AttrWords out) noexcept;
// A file without a name (O_TMPFILE), which Link can give one unless `flags` has O_EXCL.
[[nodiscard]] int OpenTemporary(int directory, int flags, mode_t mode, const Identity& caller,
                                AttrWords out) noexcept;
[[nodiscard]] int MakeNode(int directory, const char* name, mode_t mode, uint32_t device,
                           const Identity& caller, AttrWords out) noexcept;
[[nodiscard]] int MakeSymlink(int directory, const char* name, const char* target,
                              const Identity& caller, AttrWords out) noexcept;

[[nodiscard]] int Link(int fd, int directory, const char* name) noexcept;
[[nodiscard]] int Unlink(int directory, const char* name, bool is_directory) noexcept;
// A whiteout that it leaves behind (RENAME_WHITEOUT) is the caller's.
[[nodiscard]] int Rename(int from, const char* name, int to, const char* new_name, unsigned flags,
                         const Identity& caller) noexcept;
// Bytes of the target that were stored.
[[nodiscard]] ssize_t ReadLink(int fd, std::span<char> into) noexcept;

[[nodiscard]] int ChangeMode(int fd, mode_t mode) noexcept;
// -1 keeps an id.
[[nodiscard]] int ChangeOwner(int fd, uid_t uid, gid_t gid) noexcept;
[[nodiscard]] int SetTimes(int fd, const timespec (&times)[2]) noexcept;

// Through a descriptor that is open for writing, or (Truncate) through any other of a regular file.
[[nodiscard]] int TruncateOpen(int fd, int64_t size, bool kill_suidgid) noexcept;
[[nodiscard]] int Truncate(int fd, int64_t size, bool kill_suidgid) noexcept;

// Writes all it can at `offset`. Bytes written, or -errno.
[[nodiscard]] ssize_t Write(int fd, std::span<const std::byte> from, int64_t offset,
                            bool kill_suidgid) noexcept;

// Locks an open file or directory (flock) until its last descriptor is closed. -EAGAIN: somebody
// else has it.
[[nodiscard]] int Lock(int fd) noexcept;

// As OpenPath, where that needs nothing that is not in memory; EAGAIN otherwise, and always on
// kernels before 5.12.
[[nodiscard]] int OpenPathCached(int directory, const char* name, AttrWords out) noexcept;

// Where a file is: nothing on kMemory (tmpfs, ramfs) ever waits; buffered writes to kDisk seldom
// do; kRemote is somebody else's, and everything may wait for as long as they like (network, FUSE).
enum class Medium { kOther, kDisk, kMemory, kRemote };
[[nodiscard]] Medium MediumOf(int fd) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_FILES_H_
