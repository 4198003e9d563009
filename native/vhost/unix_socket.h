// Unix sockets that carry descriptors. All functions return a value >= 0 or -errno.
#ifndef NATIVE_VHOST_UNIX_SOCKET_H_
#define NATIVE_VHOST_UNIX_SOCKET_H_

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>

namespace gateway {

// Most descriptors that one message may carry; more than any vhost-user message has.
inline constexpr size_t kMaxDescriptors = 32;

// Listens on `path`, removing a socket that lies there. The socket's mode is 0600, or 0660 with
// `group` (a gid, or -1). ENAMETOOLONG when the path does not fit into a socket address.
[[nodiscard]] int ListenUnix(const std::string& path, int group) noexcept;

// Opens and locks `path`. EAGAIN or EACCES when another process holds the lock.
[[nodiscard]] int LockFile(const std::string& path) noexcept;

// Accepts a connection without waiting.
[[nodiscard]] int Accept(int listener) noexcept;

// Receives what there is, without waiting. `*count` descriptors are put into `fds`; those that do
// not fit are closed and `*count` is -1. 0: the peer has closed.
[[nodiscard]] ssize_t Receive(int socket, std::span<std::byte> into, std::span<int> fds,
                              int* count) noexcept;

// Sends all of `bytes`, waiting at most a second for room.
[[nodiscard]] ssize_t Send(int socket, std::span<const std::byte> bytes) noexcept;

}  // namespace gateway

#endif  // NATIVE_VHOST_UNIX_SOCKET_H_
