// Survives guest memory that vanishes under the server.
//
// A front-end can truncate the memory it shares; touching such a page raises SIGBUS. The handler
// puts an anonymous zero page in its place, so that the access completes with zeros, and remembers
// that it happened: the device is then shut down with an error instead of the process with a
// signal.
#ifndef NATIVE_VIRTIO_FAULT_GUARD_H_
#define NATIVE_VIRTIO_FAULT_GUARD_H_

#include <cstddef>

namespace gateway {

// Guards [base, base + size) while it exists. `page_size` is the mapping's page size (larger than
// 4096 for hugetlbfs). At most 4096 ranges exist at a time in a process.
class FaultGuard {
 public:
  FaultGuard(void* base, size_t size, size_t page_size) noexcept;
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;
  ~FaultGuard();

  // False when there was no room to register the range.
  [[nodiscard]] bool registered() const noexcept { return index_ >= 0; }
  // Whether a page of the range had to be replaced.
  [[nodiscard]] bool faulted() const noexcept;

 private:
  int index_ = -1;
};

}  // namespace gateway

#endif  // NATIVE_VIRTIO_FAULT_GUARD_H_
