#include "native/vhost/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "native/io/unique_fd.h"

namespace gateway {
namespace {

constexpr int kSendTimeoutMs = 1000;

// Hands the descriptors of a control message to `fds`, or closes them all if they are too many.
int TakeDescriptors(const cmsghdr* control, std::span<int> fds, int count) noexcept {
  const size_t received = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  const auto* data = reinterpret_cast<const int*>(CMSG_DATA(control));
  for (size_t i = 0; i < received; ++i) {
    int fd;
    std::memcpy(&fd, data + i, sizeof(fd));
    if (count >= 0 && static_cast<size_t>(count) < fds.size()) {
      fds[count++] = fd;
    } else {
      close(fd);
    }
  }
  return count;
}

}  // namespace

int ListenUnix(const std::string& path, int group) noexcept {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return -ENAMETOOLONG;
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return -errno;
  }
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return -EEXIST;
    }
    unlink(path.c_str());
  }
  // The mode has to be right from the first moment on.
  const mode_t before = umask(group >= 0 ? 0117 : 0177);
  const int bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  const int bind_error = errno;
  umask(before);
  if (bound != 0) {
    return -bind_error;
  }
  if (group >= 0 && chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(group)) != 0) {
    return -errno;
  }
  if (listen(fd.get(), 1) != 0) {
    return -errno;
  }
  return fd.Release();
}

int LockFile(const std::string& path) noexcept {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) {
    return -errno;
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return -errno;
  }
  return fd.Release();
}

int Accept(int listener) noexcept {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd >= 0 ? fd : -errno;
}

ssize_t Receive(int socket, std::span<std::byte> into, std::span<int> fds, int* count) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)];
  iovec buffer = {into.data(), into.size()};
  msghdr message = {};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    return -errno;
  }
  int taken = 0;
  bool overflow = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      const size_t sent = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      overflow |= sent > fds.size() - static_cast<size_t>(taken);
      taken = TakeDescriptors(header, fds, taken);
    }
  }
  if (overflow) {
    for (int i = 0; i < taken; ++i) {
      close(fds[i]);
    }
    taken = -1;
  }
  *count = taken;
  return received;
}

ssize_t Send(int socket, std::span<const std::byte> bytes) noexcept {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t sent =
        send(socket, bytes.data() + done, bytes.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
      continue;
    }
    pollfd room = {socket, POLLOUT, 0};
    if (errno == EAGAIN && poll(&room, 1, kSendTimeoutMs) <= 0) {
      return -ETIMEDOUT;
    }
    if (errno != EAGAIN && errno != EINTR) {
      return -errno;
    }
  }
  return static_cast<ssize_t>(done);
}

}  // namespace gateway
