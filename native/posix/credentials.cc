#include "native/posix/credentials.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "native/posix/process.h"

namespace gateway::posix {
namespace {

constexpr uid_t kKeep = static_cast<uid_t>(-1);

int SetEffectiveUid(uid_t uid) {
  return syscall(SYS_setresuid, kKeep, uid, kKeep) == 0 ? 0 : -errno;
}

int SetEffectiveGid(gid_t gid) {
  return syscall(SYS_setresgid, kKeep, gid, kKeep) == 0 ? 0 : -errno;
}

// Going back to root cannot be refused; only memory can be short for a moment. A thread that stayed
// somebody else would serve the next caller with the wrong identity, so there is no way on.
void MustSucceed(int (*change)(uid_t), uid_t id) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    if (change(id) == 0) return;
    usleep(1000);
  }
  std::abort();
}

struct Capabilities {
  __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3] = {};

  [[nodiscard]] bool Get() {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &header, words) == 0;
  }
  [[nodiscard]] bool Set() const {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capset, &header, words) == 0;
  }
  [[nodiscard]] bool Permits(int capability) const {
    return (words[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability)) != 0;
  }
  [[nodiscard]] uint32_t& Effective(int capability) {
    return words[CAP_TO_INDEX(capability)].effective;
  }
};

}  // namespace

bool HasCapability(int capability) noexcept {
  Capabilities now;
  return now.Get() && (now.Effective(capability) & CAP_TO_MASK(capability)) != 0;
}

ActingAs::ActingAs(const Identity& caller) noexcept {
  if (!MayActAsOthers()) return;
  if (caller.uid == kKeep || caller.gid == kKeep) {
    error_ = -EINVAL;
    return;
  }
  if (caller.group >= 0 && caller.group != caller.gid) {
    const gid_t group = static_cast<gid_t>(caller.group);
    group_changed_ = syscall(SYS_setgroups, 1, &group) == 0;
  }
  if (caller.gid != OwnGid()) {
    error_ = SetEffectiveGid(caller.gid);
    if (error_ != 0) return;
    gid_changed_ = true;
  }
  if (caller.uid != 0) {
    error_ = SetEffectiveUid(caller.uid);
    uid_changed_ = error_ == 0;
  }
}

ActingAs::~ActingAs() {
  // Root first: the groups need its rights. The kernel gives back the effective capabilities.
  if (uid_changed_) MustSucceed(SetEffectiveUid, 0);
  if (gid_changed_) MustSucceed(SetEffectiveGid, OwnGid());
  if (group_changed_) syscall(SYS_setgroups, 0, nullptr);
}

bool ActingAs::TrustGuestChecks() noexcept {
  if (!uid_changed_) return false;
  Capabilities now;
  if (!now.Get() || !now.Permits(CAP_DAC_OVERRIDE)) return false;
  now.Effective(CAP_DAC_OVERRIDE) |= CAP_TO_MASK(CAP_DAC_OVERRIDE);
  return now.Set();
}

void ActingAs::KeepCapabilities() noexcept {
  Capabilities now;
  if (!uid_changed_ || !now.Get()) return;
  for (auto& word : now.words) word.effective = word.permitted;
  static_cast<void>(now.Set());
}

WithoutFsetid::WithoutFsetid(bool wanted) noexcept {
  Capabilities now;
  if (!wanted || !now.Get()) return;
  uint32_t& effective = now.Effective(CAP_FSETID);
  if ((effective & CAP_TO_MASK(CAP_FSETID)) == 0) return;
  effective &= ~CAP_TO_MASK(CAP_FSETID);
  dropped_ = now.Set();
}

WithoutFsetid::~WithoutFsetid() {
  Capabilities now;
  if (!dropped_ || !now.Get()) return;
  now.Effective(CAP_FSETID) |= CAP_TO_MASK(CAP_FSETID);
  static_cast<void>(now.Set());
}

}  // namespace gateway::posix
