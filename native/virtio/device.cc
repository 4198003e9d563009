#include "native/virtio/device.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "native/io/polling.h"
#include "native/virtio/buffers.h"

namespace gateway {
namespace {

using namespace slot_layout;

constexpr uint64_t kPassBytes = 256 * 1024;  // keeps the event loop turning under large transfers
constexpr uint32_t kPassRequests = 64;
// How much is taken from a ring before the first of it is looked at.
constexpr uint64_t kBytesAtOnce = 64 * 1024;
constexpr uint32_t kPublishEvery = 4;  // native answers between two publications
constexpr uint64_t kSignalDelayNs = 20'000;
constexpr size_t kHeaderBytes = sizeof(fuse_in_header);
constexpr size_t kReplyHeaderBytes = sizeof(fuse_out_header);
// Buffer lists longer than this are given back when their request is done.
constexpr size_t kKeptBuffers = 512;

void PrefetchStart(const std::vector<iovec>& buffers) noexcept {
  if (!buffers.empty()) {
    __builtin_prefetch(buffers.front().iov_base);
  }
}

void Signal(const UniqueFd& fd) noexcept {
  const uint64_t one = 1;
  if (fd.valid()) {
    [[maybe_unused]] const ssize_t written = write(fd.get(), &one, sizeof(one));
  }
}

}  // namespace

std::shared_ptr<Device> Device::Create(Host& host, IoPool& pool) {
  void* memory = mmap(nullptr, kSlots * kSlotBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return nullptr;
  }
  return std::shared_ptr<Device>(new Device(host, pool, static_cast<std::byte*>(memory)));
}

Device::Device(Host& host, IoPool& pool, std::byte* slot_memory)
    : host_(host),
      pool_(pool),
      slot_memory_(slot_memory),
      memory_(std::make_shared<GuestMemory>()),
      slots_(kSlots) {
  free_slots_.reserve(kSlots);
  for (uint32_t slot = kSlots; slot > 0; --slot) {
    free_slots_.push_back(slot - 1);
  }
}

Device::~Device() { munmap(slot_memory_, kSlots * kSlotBytes); }

int Device::SetRegions(GuestMemory::Regions regions) {
  auto next = std::make_shared<GuestMemory>(std::move(regions));
  const auto& sorted = next->regions();
  for (size_t i = 1; i < sorted.size(); ++i) {
    const RegionAddress& before = sorted[i - 1]->address();
    if (sorted[i]->address().guest - before.guest < before.size) {
      return EINVAL;
    }
  }
  for (Slot& slot : slots_) {
    if (slot.busy && slot.memory == nullptr) {
      slot.memory = memory_;
    }
  }
  memory_ = std::move(next);
  int error = 0;
  for (uint32_t i = 0; i < queue_count_; ++i) {
    Queue& queue = queues_[i];
    if (queue.configured && queue.ring.Relocate(*memory_) != 0) {
      // Answers could no longer be written to the ring.
      error = queue.running ? EFAULT : error;
      Detach(i);
      Abandon(i);
    }
  }
  return error;
}

int Device::ConfigureQueue(uint32_t index, uint32_t size, const SplitQueue::Addresses& addresses,
                           uint16_t base, bool event_index) {
  Queue& queue = queues_[index];
  const SplitQueue before = queue.ring;
  if (const int error = queue.ring.Configure(*memory_, size, addresses, base, event_index);
      error != 0) {
    queue.ring = before;
    return error;
  }
  if (!queue.ring.Continues(before)) {
    Abandon(index);
  }
  queue.configured = true;
  queue.running = true;
  queue_count_ = std::max(queue_count_, index + 1);
  CompleteDeferred(index);
  Publish();
  // What was made available before the ring started brought no kick: the caller looks for it.
  [[maybe_unused]] const bool work = queue.ring.EnableKicks();
  return 0;
}

void Device::SetCall(uint32_t index, UniqueFd fd) noexcept {
  Queue& queue = queues_[index];
  queue.call = std::move(fd);
  // QEMU gives a ring its call descriptor after it has started it.
  if (queue.configured) {
    Signal(queue.call);
  }
}

void Device::SetEnabled(uint32_t index, bool enabled) noexcept { queues_[index].enabled = enabled; }

uint16_t Device::Detach(uint32_t index) noexcept {
  Queue& queue = queues_[index];
  queue.running = false;
  queue.configured = false;
  return queue.ring.next_available();
}

void Device::Abandon(uint32_t index) noexcept {
  if (queues_[index].in_flight > 0) {
    queues_[index].in_flight = 0;
    ++queues_[index].epoch;
    CompleteDeferred(index);
  }
}

void Device::CompleteDeferred(uint32_t queue_index) noexcept {
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (slots_[slot].deferred && slots_[slot].queue == queue_index) {
      slots_[slot].deferred = false;
      Complete(slot, slots_[slot].result);
    }
  }
}

void Device::CountKick(uint32_t index) {
  Queue& queue = queues_[index];
  ++queue.statistics.kicks;
  if (queue.statistics.requests == 0 && CanTake(queue) && !queue.ring.HasAvailable() &&
      memory_->LooksPrivate()) {
    host_.OnEvent(DeviceEvent::kPrivateMemory, index);
  }
}

bool Device::HasWork() const noexcept {
  for (uint32_t i = 0; i < queue_count_; ++i) {
    if (CanTake(queues_[i]) && queues_[i].ring.HasAvailable() && !free_slots_.empty()) {
      return true;
    }
  }
  return false;
}

void Device::DisableKicks() noexcept {
  for (uint32_t i = 0; i < queue_count_; ++i) {
    if (CanTake(queues_[i])) {
      queues_[i].ring.DisableKicks();
    }
  }
}

bool Device::EnableKicks() noexcept {
  bool work = false;
  for (uint32_t i = 0; i < queue_count_; ++i) {
    if (CanTake(queues_[i])) {
      work |= queues_[i].ring.EnableKicks() && !free_slots_.empty();
    }
  }
  return work;
}

uint32_t Device::RunPass() {
  Pass pass;
  if (queue_count_ == 0) {
    return 0;
  }
  // Hiprio first, always; the request queues take turns.
  TakeFrom(0, &pass);
  const uint32_t request_queues = queue_count_ - 1;
  for (uint32_t i = 0; i < request_queues; ++i) {
    TakeFrom(1 + (next_queue_ + i) % request_queues, &pass);
  }
  if (request_queues > 0) {
    next_queue_ = (next_queue_ + 1) % request_queues;
  }
  if (pass.large_reads > 0) {
    RunLargeReads(&pass);
  }
  if (pass.batched > 0) {
    host_.RunBatch(pass.batched);
    FinishBatch(pass.batched);
  }
  PublishUnderLoad();
  return pass.taken;
}

void Device::TakeFrom(uint32_t queue_index, Pass* pass) {
  const Queue& queue = queues_[queue_index];
  while (CanTake(queue) && RoomInBatch(*pass) > 0 && pass->taken < kPassRequests &&
         pass->bytes < kPassBytes) {
    const uint32_t count = PopChains(queue_index, pass);
    if (count == 0) {
      return;
    }
    for (uint32_t i = 0; i < count; ++i) {
      Take(popped_[i], queue_index, pass);
    }
  }
}

// Several at once, because what they point to lies in the cache of the processor that the guest
// runs on: the waits for it then overlap.
uint32_t Device::PopChains(uint32_t queue_index, Pass* pass) {
  Queue& queue = queues_[queue_index];
  const uint32_t room = RoomInBatch(*pass);
  uint32_t count = 0;
  for (uint64_t bytes = 0; count < room && bytes < kBytesAtOnce && !free_slots_.empty();) {
    const uint32_t slot_index = free_slots_.back();
    Chain& chain = slots_[slot_index].chain;
    switch (queue.ring.Pop(*memory_, &chain)) {
      case PopResult::kEmpty:
        return count;
      case PopResult::kBadRing:
        BreakRing(queue_index);
        return count;
      case PopResult::kBadChain:
        ++queue.statistics.malformed;
        queue.ring.Push(chain.head, 0);
        if (++pass->taken >= kPassRequests) {
          return count;
        }
        continue;
      case PopResult::kChain:
        break;
    }
    ++pass->taken;
    ++queue.statistics.requests;
    free_slots_.pop_back();
    popped_[count++] = slot_index;
    bytes += chain.readable_bytes + chain.writable_bytes;
    PrefetchStart(chain.readable);
    PrefetchStart(chain.writable);
  }
  return count;
}

void Device::Take(uint32_t slot_index, uint32_t queue_index, Pass* pass) {
  Queue& queue = queues_[queue_index];
  if (!Accept(slot_index, queue_index)) {
    ++queue.statistics.malformed;
    return;
  }
  if (!TryTransfer(slot_index, pass)) {
    batch_[pass->batched++] = slot_index;
    return;
  }
  ++queue.statistics.transfers;
  if (++pass->unpublished == kPublishEvery) {
    pass->unpublished = 0;
    PublishUnderLoad();
  }
}

bool Device::Accept(uint32_t slot_index, uint32_t queue_index) {
  Slot& slot = slots_[slot_index];
  Queue& queue = queues_[queue_index];
  if (slot.chain.readable_bytes < kHeaderBytes) {
    queue.ring.Push(slot.chain.head, 0);
    free_slots_.push_back(slot_index);
    return false;
  }
  std::byte* request = slot_memory_ + slot_index * kSlotBytes + kRequestOffset;
  CopyFrom(slot.chain.readable, 0, {request, kRequestBytes});
  fuse_in_header header;
  std::memcpy(&header, request, sizeof(header));
  slot.queue = queue_index;
  slot.epoch = queue.epoch;
  slot.unique = header.unique;
  slot.busy = true;
  ++queue.in_flight;
  if (header.len < kHeaderBytes || header.len > slot.chain.readable_bytes) {
    // The sender still waits for an answer to `unique`.
    Complete(slot_index, -EINVAL);
    return false;
  }
  uint32_t* control = words(slot_index);
  control[kRequestLength] = header.len;
  control[kReplyCapacity] = static_cast<uint32_t>(slot.chain.writable_bytes);
  control[kQueue] = queue_index;
  control[kReplyOffset] = kReplyStart;
  return true;
}

void Device::FinishBatch(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (results_[i] != kPending) {
      Complete(batch_[i], results_[i]);
    }
  }
}

void Device::Complete(uint32_t slot_index, int32_t result) {
  if (!IsBusy(slot_index)) {
    return;
  }
  Slot& slot = slots_[slot_index];
  const Queue& queue = queues_[slot.queue];
  // Nothing may be written to the guest any more when the request is void, nor while its ring is
  // stopped.
  const bool is_void = slot.epoch != queue.epoch;
  if (!is_void && !queue.configured) {
    slot.deferred = true;
    slot.result = result;
    return;
  }
  if (!is_void && result == kTransfer) {
    TransferNow(slot_index);
    return;
  }
  if (is_void || result == kNoReply || slot.chain.writable_bytes < kReplyHeaderBytes) {
    Finish(slot_index, 0);
    return;
  }
  const bool in_place = result >= kBodyInPlace;
  size_t length = result < 0 ? 0 : static_cast<size_t>(result) & (kBodyInPlace - 1);
  const uint32_t* control = words(slot_index);
  const size_t body = control[kReplyOffset];
  const bool fits = kReplyHeaderBytes + length <= slot.chain.writable_bytes &&
                    (in_place || (body <= kSlotBytes && length <= kSlotBytes - body));
  fuse_out_header header = {};
  header.unique = slot.unique;
  if (!fits) {
    header.error = -EIO;
    length = 0;
  } else if (result < 0) {
    header.error = result;
  }
  header.len = static_cast<uint32_t>(kReplyHeaderBytes + length);
  const auto* header_bytes = reinterpret_cast<const std::byte*>(&header);
  CopyTo(slot.chain.writable, 0, {header_bytes, sizeof(header)});
  if (!in_place && length > 0) {
    CopyTo(slot.chain.writable, kReplyHeaderBytes,
           {slot_memory_ + slot_index * kSlotBytes + body, length});
  }
  Finish(slot_index, header.len);
}

void Device::Finish(uint32_t slot_index, uint32_t used_length) noexcept {
  Slot& slot = slots_[slot_index];
  Queue& queue = queues_[slot.queue];
  if (slot.epoch == queue.epoch) {
    queue.ring.Push(slot.chain.head, used_length);
    --queue.in_flight;
    if (free_slots_.empty()) {
      host_.Resume();
    }
  }
  slot.busy = false;
  slot.memory.reset();
  if (slot.chain.readable.capacity() > kKeptBuffers) {
    std::vector<iovec>().swap(slot.chain.readable);
  }
  if (slot.chain.writable.capacity() > kKeptBuffers) {
    std::vector<iovec>().swap(slot.chain.writable);
  }
  free_slots_.push_back(slot_index);
}

void Device::Publish() noexcept {
  for (uint32_t i = 0; i < queue_count_; ++i) {
    if (queues_[i].configured) {
      queues_[i].ring.Publish();
      SignalGuest(queues_[i]);
    }
  }
}

// Waking the guest costs as much as several small requests. While more of them wait than were
// answered since the last signal, it would find little to do but to sleep again.
void Device::PublishUnderLoad() noexcept {
  for (uint32_t i = 0; i < queue_count_; ++i) {
    Queue& queue = queues_[i];
    if (!queue.configured) {
      continue;
    }
    queue.ring.Publish();
    const uint16_t answered = queue.ring.Unsignalled();
    if (answered == 0) {
      continue;
    }
    if (queue.ring.Waiting() <= answered || MonotonicNs() - queue.signalled_ns > kSignalDelayNs) {
      SignalGuest(queue);
    }
  }
}

void Device::SignalGuest(Queue& queue) noexcept {
  if (queue.ring.Unsignalled() == 0) {
    return;
  }
  queue.signalled_ns = MonotonicNs();
  if (queue.ring.TakeSignal()) {
    ++queue.statistics.signals;
    Signal(queue.call);
  }
}

void Device::BreakRing(uint32_t queue_index) {
  Queue& queue = queues_[queue_index];
  queue.running = false;
  Signal(queue.error);
  host_.OnEvent(DeviceEvent::kRingBroken, queue_index);
}

size_t Device::ReadRequest(uint32_t slot, size_t offset, std::span<std::byte> target) noexcept {
  if (!IsBusy(slot)) {
    return 0;
  }
  const uint32_t length = words(slot)[kRequestLength];
  if (offset >= length) {
    return 0;
  }
  target = target.first(std::min<size_t>(target.size(), length - offset));
  size_t done = 0;
  if (offset < kRequestBytes) {
    done = std::min(target.size(), kRequestBytes - offset);
    std::memcpy(target.data(), slot_memory_ + slot * kSlotBytes + kRequestOffset + offset, done);
  }
  return done + CopyFrom(slots_[slot].chain.readable, offset + done, target.subspan(done));
}

bool Device::WriteBody(uint32_t slot, std::span<const std::byte> source) noexcept {
  if (!IsBusy(slot) || slots_[slot].epoch != queues_[slots_[slot].queue].epoch) {
    return false;
  }
  if (kReplyHeaderBytes + source.size() > slots_[slot].chain.writable_bytes) {
    return false;
  }
  CopyTo(slots_[slot].chain.writable, kReplyHeaderBytes, source);
  return true;
}

}  // namespace gateway
