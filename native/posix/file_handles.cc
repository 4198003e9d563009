#include "native/posix/file_handles.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace gateway::posix {
namespace {

constexpr size_t kMaxPayload = kMaxHandleBytes - kHandleHeaderBytes;

// struct file_handle with its flexible array.
union HandleBuffer {
  file_handle handle;
  char bytes[sizeof(file_handle) + kMaxPayload];
};

// struct fsuuid2 and FS_IOC_GETFSUUID of linux/fs.h since Linux 6.9.
struct FsUuid {
  uint8_t length;
  uint8_t bytes[16];
};
constexpr unsigned long kGetFsUuid = _IOR(0x15, 0, FsUuid);

}  // namespace

int NameToHandle(int fd, const char* name, std::span<char> into) noexcept {
  if (into.size() < kMaxHandleBytes) return -EINVAL;
  HandleBuffer buffer;
  buffer.handle.handle_bytes = kMaxPayload;
  int mount_id = 0;
  if (name_to_handle_at(fd, name, &buffer.handle, &mount_id, AT_EMPTY_PATH) != 0) {
    return errno == EOVERFLOW ? -EOPNOTSUPP : -errno;
  }
  const int32_t type = buffer.handle.handle_type;
  const int32_t mount = mount_id;
  std::memcpy(into.data(), &mount, sizeof(mount));
  std::memcpy(into.data() + sizeof(mount), &type, sizeof(type));
  std::memcpy(into.data() + kHandleHeaderBytes, buffer.handle.f_handle, buffer.handle.handle_bytes);
  return static_cast<int>(kHandleHeaderBytes + buffer.handle.handle_bytes);
}

int OpenHandle(int mount, std::string_view handle, int flags) noexcept {
  if (handle.size() < kHandleHeaderBytes || handle.size() > kMaxHandleBytes) return -EINVAL;
  HandleBuffer buffer;
  int32_t type = 0;
  std::memcpy(&type, handle.data() + sizeof(int32_t), sizeof(type));
  buffer.handle.handle_type = type;
  buffer.handle.handle_bytes = static_cast<unsigned>(handle.size() - kHandleHeaderBytes);
  std::memcpy(buffer.handle.f_handle, handle.data() + kHandleHeaderBytes,
              buffer.handle.handle_bytes);
  constexpr int kAlways = O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
  const int fd = open_by_handle_at(mount, &buffer.handle, flags | kAlways);
  return fd < 0 ? -errno : fd;
}

int FileSystemUuid(int fd, std::span<std::byte, 16> into) noexcept {
  FsUuid uuid = {};
  if (ioctl(fd, kGetFsUuid, &uuid) != 0) return -errno;
  if (uuid.length != sizeof(uuid.bytes)) return -ENOTTY;
  std::memcpy(into.data(), uuid.bytes, sizeof(uuid.bytes));
  return 0;
}

}  // namespace gateway::posix
