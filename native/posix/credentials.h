// Acting as the guest's caller, so that the kernel gives new files the right owner and group.
#ifndef NATIVE_POSIX_CREDENTIALS_H_
#define NATIVE_POSIX_CREDENTIALS_H_

#include <sys/types.h>

#include <cstdint>

namespace gateway::posix {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  // One supplementary group, or -1.
  int64_t group = -1;
};

// Whether this thread has the capability in its effective set.
[[nodiscard]] bool HasCapability(int capability) noexcept;

// This thread is the caller while the object lives. Does nothing when the process may not act as
// others or already is the caller. Only the calling thread changes: raw system calls are used,
// because the C library would change every thread.
class ActingAs {
 public:
  explicit ActingAs(const Identity& caller) noexcept;
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ~ActingAs();

  // 0, or -errno when the identity could not be taken: do not go on then.
  [[nodiscard]] int error() const { return error_; }

  // Lets the caller pass permission checks of directories, and returns whether that changed
  // anything. The guest's kernel has checked permissions already, with all groups of the caller; we
  // know at most one of them and would refuse what a group allows.
  [[nodiscard]] bool TrustGuestChecks() noexcept;

  // Gives the caller all capabilities of the process, for an operation that is not the caller's own
  // and only leaves something behind in the caller's name.
  void KeepCapabilities() noexcept;

 private:
  bool uid_changed_ = false;
  bool gid_changed_ = false;
  bool group_changed_ = false;
  int error_ = 0;
};

// While it lives this thread lacks CAP_FSETID, so that a truncate clears setuid and setgid as it
// would for an ordinary user.
class WithoutFsetid {
 public:
  explicit WithoutFsetid(bool wanted) noexcept;
  WithoutFsetid(const WithoutFsetid&) = delete;
  WithoutFsetid& operator=(const WithoutFsetid&) = delete;
  ~WithoutFsetid();

 private:
  bool dropped_ = false;
};

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_CREDENTIALS_H_
