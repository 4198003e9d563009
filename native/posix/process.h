// What the whole process needs before it may serve a host directory.
#ifndef NATIVE_POSIX_PROCESS_H_
#define NATIVE_POSIX_PROCESS_H_

#include <sys/types.h>

#include <string_view>

namespace gateway::posix {

// Once per thread that serves, before its first file operation and before any sandbox hides /proc:
// umask 0 (guests send modes with theirs applied), the descriptor limit raised to the hard limit,
// /proc/self/fd opened, and this thread's supplementary groups dropped when it may act for others.
// Returns 0 or -errno.
[[nodiscard]] int PrepareThread() noexcept;

// Whether the process can act as any user: effective root that may change ids.
[[nodiscard]] bool MayActAsOthers() noexcept;

// The group that the process itself acts with.
[[nodiscard]] gid_t OwnGid() noexcept;

// Soft limit of descriptors.
[[nodiscard]] double DescriptorLimit() noexcept;

// The directory /proc/self/fd. A name in it stands for the file behind a descriptor, also when that
// is only a path (O_PATH), a symbolic link or an unlinked file.
[[nodiscard]] int ProcFd() noexcept;

// The name of a descriptor in ProcFd().
class ProcName {
 public:
  explicit ProcName(int fd) noexcept;
  [[nodiscard]] const char* get() const { return text_ + start_; }
  // The same as an absolute path, for calls without an "at" form.
  [[nodiscard]] const char* path();

 private:
  static constexpr std::string_view kPrefix = "/proc/self/fd/";
  static constexpr int kDigits = 12;
  char text_[kPrefix.size() + kDigits];
  int start_ = 0;
};

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_PROCESS_H_
