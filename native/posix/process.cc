#include "native/posix/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>

#include "native/posix/credentials.h"

namespace gateway::posix {
namespace {

std::once_flag prepared;
int proc_fd = -1;
int prepare_error = 0;
bool may_act_as_others = false;
gid_t own_gid = 0;

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void PrepareProcess() {
  umask(0);
  own_gid = getegid();
  RaiseDescriptorLimit();
  may_act_as_others = geteuid() == 0 && HasCapability(CAP_SETUID) && HasCapability(CAP_SETGID);
  proc_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc_fd < 0) prepare_error = -errno;
}

}  // namespace

int PrepareThread() noexcept {
  std::call_once(prepared, PrepareProcess);
  if (prepare_error != 0) return prepare_error;
  // The raw call changes this thread only. It may be forbidden (setgroups "deny" in a user
  // namespace); the groups that remain are then those of the user who started us.
  if (may_act_as_others) syscall(SYS_setgroups, 0, nullptr);
  return 0;
}

bool MayActAsOthers() noexcept { return may_act_as_others; }

gid_t OwnGid() noexcept { return own_gid; }

double DescriptorLimit() noexcept {
  rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

int ProcFd() noexcept { return proc_fd; }

ProcName::ProcName(int fd) noexcept {
  start_ = static_cast<int>(kPrefix.size());
  char* const begin = text_ + start_;
  *std::to_chars(begin, begin + kDigits - 1, fd).ptr = '\0';
}

const char* ProcName::path() {
  std::memcpy(text_, kPrefix.data(), kPrefix.size());
  return text_;
}

}  // namespace gateway::posix
