#include "native/virtio/split_queue.h"

#include <errno.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

namespace gateway {
namespace {

constexpr size_t kFlags = 0;
constexpr size_t kIndex = 1;
constexpr size_t kRing = 2;  // first ring entry, in 16-bit units
constexpr size_t kCacheLineBytes = 64;

uint16_t LoadRelaxed(const uint16_t* field) noexcept {
  return __atomic_load_n(field, __ATOMIC_RELAXED);
}
uint16_t LoadAcquire(const uint16_t* field) noexcept {
  return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}
void StoreRelaxed(uint16_t* field, uint16_t value) noexcept {
  __atomic_store_n(field, value, __ATOMIC_RELAXED);
}
void StoreRelease(uint16_t* field, uint16_t value) noexcept {
  __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

// The driver can write while we read: the copy is what is checked and used.
vring_desc CopyDescriptor(const vring_desc* source) noexcept {
  vring_desc copy;
  copy.addr = __atomic_load_n(&source->addr, __ATOMIC_RELAXED);
  copy.len = __atomic_load_n(&source->len, __ATOMIC_RELAXED);
  copy.flags = __atomic_load_n(&source->flags, __ATOMIC_RELAXED);
  copy.next = __atomic_load_n(&source->next, __ATOMIC_RELAXED);
  return copy;
}

size_t AvailableBytes(uint32_t size) noexcept { return (kRing + size + 1) * sizeof(uint16_t); }
size_t UsedBytes(uint32_t size) noexcept {
  return (kRing + 1) * sizeof(uint16_t) + size * sizeof(vring_used_elem);
}

}  // namespace

int SplitQueue::Configure(const GuestMemory& memory, uint32_t size, const Addresses& addresses,
                          uint16_t base, bool event_index) noexcept {
  if (size == 0 || size > kMaxSize || !std::has_single_bit(size) ||
      addresses.descriptors % 16 != 0 || addresses.available % 2 != 0 || addresses.used % 4 != 0) {
    return EINVAL;
  }
  size_ = size;
  addresses_ = addresses;
  event_index_ = event_index;
  if (const int error = Relocate(memory); error != 0) {
    return error;
  }
  next_available_ = base;
  available_seen_ = base;
  // A ring that restarts goes on where the used index stands.
  next_used_ = LoadRelaxed(&used_[kIndex]);
  published_used_ = next_used_;
  signalled_used_ = next_used_;
  return 0;
}

bool SplitQueue::Continues(const SplitQueue& other) const noexcept {
  return size_ == other.size_ && addresses_ == other.addresses_ &&
         next_available_ == other.next_available_ && next_used_ == other.next_used_;
}

int SplitQueue::Relocate(const GuestMemory& memory) noexcept {
  auto* descriptors = memory.TranslateUser(addresses_.descriptors, size_ * sizeof(vring_desc));
  auto* available = memory.TranslateUser(addresses_.available, AvailableBytes(size_));
  auto* used = memory.TranslateUser(addresses_.used, UsedBytes(size_));
  // SAFETY: the driver chose the offsets; unaligned atomics would be undefined.
  const auto misaligned = [](const std::byte* address, uintptr_t alignment) {
    return reinterpret_cast<uintptr_t>(address) % alignment != 0;
  };
  if (descriptors == nullptr || available == nullptr || used == nullptr ||
      misaligned(descriptors, 8) || misaligned(available, 2) || misaligned(used, 4)) {
    return EFAULT;
  }
  descriptors_ = reinterpret_cast<vring_desc*>(descriptors);
  available_ = reinterpret_cast<uint16_t*>(available);
  used_ = reinterpret_cast<uint16_t*>(used);
  return 0;
}

bool SplitQueue::HasAvailable() const noexcept {
  return LoadAcquire(&available_[kIndex]) != next_available_;
}

uint16_t SplitQueue::Waiting() const noexcept {
  return static_cast<uint16_t>(LoadRelaxed(&available_[kIndex]) - next_available_);
}

PopResult SplitQueue::Pop(const GuestMemory& memory, Chain* chain) {
  if (next_available_ == available_seen_) {
    available_seen_ = LoadAcquire(&available_[kIndex]);
    const auto count = static_cast<uint16_t>(available_seen_ - next_available_);
    if (count == 0) {
      return PopResult::kEmpty;
    }
    if (count > size_) {
      available_seen_ = next_available_;
      return PopResult::kBadRing;
    }
  }
  const uint16_t head = LoadRelaxed(&available_[kRing + (next_available_ & (size_ - 1))]);
  if (head >= size_) {
    return PopResult::kBadRing;
  }
  ++next_available_;
  chain->head = head;
  PrefetchNext(memory);
  return WalkChain(memory, chain) ? PopResult::kChain : PopResult::kBadChain;
}

void SplitQueue::PrefetchNext(const GuestMemory& memory) const noexcept {
  const auto ahead = static_cast<uint16_t>(available_seen_ - next_available_);
  const auto descriptor = [this](uint16_t behind) -> const vring_desc* {
    const auto index = static_cast<uint16_t>(next_available_ + behind);
    const uint16_t head = LoadRelaxed(&available_[kRing + (index & (size_ - 1))]);
    return head < size_ ? &descriptors_[head] : nullptr;
  };
  if (ahead > 0) {
    // SAFETY: what is read here only decides what is prefetched; the chain is checked when it is
    // walked.
    const vring_desc* next = descriptor(0);
    if (next != nullptr && (CopyDescriptor(next).flags & VRING_DESC_F_INDIRECT) != 0) {
      const std::byte* table = memory.Translate(CopyDescriptor(next).addr, sizeof(vring_desc));
      __builtin_prefetch(table);
      __builtin_prefetch(table + kCacheLineBytes);
    }
  }
  if (ahead > 1) {
    __builtin_prefetch(descriptor(1));
  }
}

bool SplitQueue::WalkChain(const GuestMemory& memory, Chain* chain) {
  chain->readable.clear();
  chain->writable.clear();
  chain->readable_bytes = 0;
  chain->writable_bytes = 0;
  return WalkTable(memory, descriptors_, size_, chain->head, false, chain);
}

bool SplitQueue::WalkTable(const GuestMemory& memory, const vring_desc* table, uint32_t count,
                           uint32_t first, bool indirect, Chain* chain) {
  uint32_t index = first;
  // A chain visits each descriptor at most once: more steps than descriptors is a loop.
  for (uint32_t steps = 0; steps < count; ++steps) {
    const vring_desc descriptor = CopyDescriptor(&table[index]);
    if ((descriptor.flags & VRING_DESC_F_INDIRECT) != 0) {
      // An indirect descriptor may end a chain of direct ones, and holds no further tables.
      const uint32_t entries = descriptor.len / sizeof(vring_desc);
      if (indirect || (descriptor.flags & VRING_DESC_F_NEXT) != 0 ||
          descriptor.len % sizeof(vring_desc) != 0 || entries == 0 || entries > kMaxIndirect) {
        return false;
      }
      std::byte* nested = memory.Translate(descriptor.addr, descriptor.len);
      if (nested == nullptr || reinterpret_cast<uintptr_t>(nested) % alignof(vring_desc) != 0) {
        return false;
      }
      return WalkTable(memory, reinterpret_cast<vring_desc*>(nested), entries, 0, true, chain);
    }
    if (!AppendDescriptor(memory, descriptor, chain)) {
      return false;
    }
    if ((descriptor.flags & VRING_DESC_F_NEXT) == 0) {
      return true;
    }
    index = descriptor.next;
    if (index >= count) {
      return false;
    }
  }
  return false;
}

bool SplitQueue::AppendDescriptor(const GuestMemory& memory, const vring_desc& descriptor,
                                  Chain* chain) {
  if ((descriptor.flags & VRING_DESC_F_WRITE) != 0) {
    chain->writable_bytes += descriptor.len;
    return memory.Append(descriptor.addr, descriptor.len, &chain->writable, 0) &&
           chain->writable_bytes <= UINT32_MAX;
  }
  chain->readable_bytes += descriptor.len;
  // The specification wants all readable buffers before the writable ones.
  return chain->writable_bytes == 0 &&
         memory.Append(descriptor.addr, descriptor.len, &chain->readable, 0) &&
         chain->readable_bytes <= UINT32_MAX;
}

void SplitQueue::Push(uint16_t head, uint32_t length) noexcept {
  auto* elements = reinterpret_cast<vring_used_elem*>(&used_[kRing]);
  vring_used_elem& element = elements[next_used_ & (size_ - 1)];
  __atomic_store_n(&element.id, static_cast<uint32_t>(head), __ATOMIC_RELAXED);
  __atomic_store_n(&element.len, length, __ATOMIC_RELAXED);
  ++next_used_;
}

void SplitQueue::Publish() noexcept {
  if (next_used_ != published_used_) {
    published_used_ = next_used_;
    StoreRelease(&used_[kIndex], next_used_);
  }
}

bool SplitQueue::TakeSignal() noexcept {
  if (signalled_used_ == published_used_) {
    return false;
  }
  const uint16_t previous = std::exchange(signalled_used_, published_used_);
  // The index must be visible before used_event or flags are read (section 2.7.10).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (event_index_) {
    const uint16_t event = LoadRelaxed(&available_[kRing + size_]);
    return vring_need_event(event, published_used_, previous) != 0;
  }
  return (LoadRelaxed(&available_[kFlags]) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
}

void SplitQueue::DisableKicks() noexcept {
  // With event indexes a stale avail_event suppresses kicks by itself.
  if (!event_index_) {
    StoreRelaxed(&used_[kFlags], VRING_USED_F_NO_NOTIFY);
  }
}

bool SplitQueue::EnableKicks() noexcept {
  if (event_index_) {
    StoreRelaxed(&used_[kRing + size_ * (sizeof(vring_used_elem) / sizeof(uint16_t))],
                 next_available_);
  } else {
    StoreRelaxed(&used_[kFlags], 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return HasAvailable();
}

}  // namespace gateway
