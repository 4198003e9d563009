#include "native/posix/inode_flags.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace gateway::posix {
namespace {

// The numbers of the flag commands speak of a long; the kernel reads and writes an int.
struct Command {
  size_t bytes;
  bool reads;
};

bool Find(uint32_t number, Command* command) {
  switch (number) {
    case FS_IOC_GETFLAGS:
      *command = {sizeof(int), false};
      return true;
    case FS_IOC_SETFLAGS:
      *command = {sizeof(int), true};
      return true;
    case FS_IOC_FSGETXATTR:
      *command = {sizeof(fsxattr), false};
      return true;
    case FS_IOC_FSSETXATTR:
      *command = {sizeof(fsxattr), true};
      return true;
    default:
      return false;
  }
}

}  // namespace

int InodeFlagsIoctl(int fd, uint32_t number, std::span<const std::byte> input,
                    std::span<std::byte> into, const Identity& caller) noexcept {
  Command command;
  if (!Find(number, &command)) return -ENOTTY;
  if ((command.reads ? input.size() : into.size()) < command.bytes) return -EINVAL;
  alignas(8) std::byte buffer[sizeof(fsxattr)] = {};
  if (command.reads) std::memcpy(buffer, input.data(), command.bytes);
  const ActingAs acting(caller);
  if (acting.error() != 0) return acting.error();
  if (ioctl(fd, number, buffer) != 0) return -errno;
  if (command.reads) return 0;
  std::memcpy(into.data(), buffer, command.bytes);
  return static_cast<int>(command.bytes);
}

}  // namespace gateway::posix
