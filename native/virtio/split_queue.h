// The device side of a split virtqueue (virtio 1.2, section 2.7) in memory that a hostile driver
// owns.
//
// Every field is read once, checked, and only then used. Nothing here blocks, allocates per request
// (buffers keep their capacity) or throws.
#ifndef NATIVE_VIRTIO_SPLIT_QUEUE_H_
#define NATIVE_VIRTIO_SPLIT_QUEUE_H_

// The legacy part of the header is not valid C++.
#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "native/io/unique_fd.h"
#include "native/virtio/guest_memory.h"

namespace gateway {

// A descriptor chain: what the device may read, then what it may write.
struct Chain {
  uint16_t head = 0;
  std::vector<iovec> readable;
  std::vector<iovec> writable;
  uint64_t readable_bytes = 0;
  uint64_t writable_bytes = 0;
};

enum class PopResult {
  kEmpty,     // nothing is available
  kChain,     // *chain holds the next request
  kBadChain,  // chain->head is sound, but what it describes is not: give it back with length 0
  kBadRing,   // the ring itself is broken: stop it
};

class SplitQueue {
 public:
  static constexpr uint32_t kMaxSize = 32768;
  // Longest chain, in descriptors, that is taken from an indirect table.
  static constexpr uint32_t kMaxIndirect = 4096;

  struct Addresses {
    uint64_t descriptors = 0;  // addresses in the front-end's process
    uint64_t available = 0;
    uint64_t used = 0;
    bool operator==(const Addresses&) const = default;
  };

  // Sizes must be powers of two up to kMaxSize; addresses must lie in memory and be aligned as the
  // specification demands. Returns 0 or EINVAL (size, alignment) or EFAULT (address outside).
  [[nodiscard]] int Configure(const GuestMemory& memory, uint32_t size, const Addresses& addresses,
                              uint16_t base, bool event_index) noexcept;

  // Whether this ring, just configured, is the other one at the point where that was left. A driver
  // that starts anew begins with both indexes at 0: with requests in flight they were not equal.
  [[nodiscard]] bool Continues(const SplitQueue& other) const noexcept;

  // Translates the ring's addresses again after the memory table changed. 0 or EFAULT.
  [[nodiscard]] int Relocate(const GuestMemory& memory) noexcept;

  [[nodiscard]] PopResult Pop(const GuestMemory& memory, Chain* chain);

  // Whether the driver has made something available that was not popped.
  [[nodiscard]] bool HasAvailable() const noexcept;

  // Puts a chain into the used ring, not yet visible.
  void Push(uint16_t head, uint32_t length) noexcept;

  // Makes what was pushed visible to a driver that looks.
  void Publish() noexcept;
  // How many published chains no signal was considered for.
  [[nodiscard]] uint16_t Unsignalled() const noexcept {
    return static_cast<uint16_t>(published_used_ - signalled_used_);
  }
  // Whether the driver wants to be notified of those; they count as signalled afterwards.
  [[nodiscard]] bool TakeSignal() noexcept;

  // How many chains the driver has made available that were not popped, if the ring is sound.
  [[nodiscard]] uint16_t Waiting() const noexcept;

  // Asks the driver not to kick (while the loop is awake anyway), or to kick again. After
  // EnableKicks the caller must look for work once more: the return value says if there is some.
  void DisableKicks() noexcept;
  [[nodiscard]] bool EnableKicks() noexcept;

  [[nodiscard]] uint16_t next_available() const noexcept { return next_available_; }
  [[nodiscard]] uint32_t size() const noexcept { return size_; }

 private:
  // Has the descriptors of the next chains fetched while this one is handled: the driver's
  // processor has just written them.
  void PrefetchNext(const GuestMemory& memory) const noexcept;
  [[nodiscard]] bool WalkChain(const GuestMemory& memory, Chain* chain);
  [[nodiscard]] bool AppendDescriptor(const GuestMemory& memory, const vring_desc& descriptor,
                                      Chain* chain);
  [[nodiscard]] bool WalkTable(const GuestMemory& memory, const vring_desc* table, uint32_t count,
                               uint32_t first, bool indirect, Chain* chain);

  uint32_t size_ = 0;
  Addresses addresses_;
  vring_desc* descriptors_ = nullptr;
  uint16_t* available_ = nullptr;  // flags, idx, ring[size], used_event
  uint16_t* used_ = nullptr;       // flags, idx, then vring_used_elem[size], avail_event
  bool event_index_ = false;
  uint16_t next_available_ = 0;
  uint16_t next_used_ = 0;
  uint16_t published_used_ = 0;
  uint16_t signalled_used_ = 0;
  uint16_t available_seen_ = 0;
};

}  // namespace gateway

#endif  // NATIVE_VIRTIO_SPLIT_QUEUE_H_
