#include "native/posix/xattrs.h"

#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "native/posix/process.h"

namespace gateway::posix {
namespace {

// Linux 6.13 has calls relative to a directory, which need no path from the root: shorter to walk,
// and they work where a sandbox hides /proc. Numbers are the same on every architecture.
constexpr long kSetxattrat = 463;
constexpr long kGetxattrat = 464;
constexpr long kListxattrat = 465;
constexpr long kRemovexattrat = 466;

// struct xattr_args of linux/xattr.h.
struct XattrArgs {
  alignas(8) uint64_t value;
  uint32_t size;
  uint32_t flags;
};

std::atomic<bool> relative_calls_missing{false};

ssize_t Status(ssize_t result) { return result < 0 ? -errno : result; }

// The relative call where the kernel has it, else the one by path.
template <typename Relative, typename ByPath>
ssize_t Call(int fd, Relative relative, ByPath by_path) {
  ProcName name(fd);
  if (!relative_calls_missing.load(std::memory_order_relaxed)) {
    const ssize_t result = Status(relative(name.get()));
    if (result != -ENOSYS) return result;
    relative_calls_missing.store(true, std::memory_order_relaxed);
  }
  return Status(by_path(name.path()));
}

}  // namespace

ssize_t GetXattr(int fd, const char* name, std::span<std::byte> into) noexcept {
  XattrArgs args = {reinterpret_cast<uintptr_t>(into.data()), static_cast<uint32_t>(into.size()),
                    0};
  return Call(
      fd,
      [&](const char* file) {
        return syscall(kGetxattrat, ProcFd(), file, 0, name, &args, sizeof(args));
      },
      [&](const char* path) { return getxattr(path, name, into.data(), into.size()); });
}

ssize_t GetXattrOfOpen(int fd, const char* name, std::span<std::byte> into) noexcept {
  return Status(fgetxattr(fd, name, into.data(), into.size()));
}

ssize_t ListXattr(int fd, std::span<std::byte> into) noexcept {
  auto* const list = reinterpret_cast<char*>(into.data());
  return Call(
      fd,
      [&](const char* file) { return syscall(kListxattrat, ProcFd(), file, 0, list, into.size()); },
      [&](const char* path) { return listxattr(path, list, into.size()); });
}

int SetXattr(int fd, const char* name, std::span<const std::byte> value, int flags) noexcept {
  XattrArgs args = {reinterpret_cast<uintptr_t>(value.data()), static_cast<uint32_t>(value.size()),
                    static_cast<uint32_t>(flags)};
  return static_cast<int>(Call(
      fd,
      [&](const char* file) {
        return syscall(kSetxattrat, ProcFd(), file, 0, name, &args, sizeof(args));
      },
      [&](const char* path) { return setxattr(path, name, value.data(), value.size(), flags); }));
}

int RemoveXattr(int fd, const char* name) noexcept {
  return static_cast<int>(Call(
      fd, [&](const char* file) { return syscall(kRemovexattrat, ProcFd(), file, 0, name); },
      [&](const char* path) { return removexattr(path, name); }));
}

}  // namespace gateway::posix
