// The virtio-fs device: queues, requests in flight and bound files. It knows no event loop and no
// JavaScript; napi/lane drives it. Everything here runs on the loop thread.
#ifndef NATIVE_VIRTIO_DEVICE_H_
#define NATIVE_VIRTIO_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "native/io/bound_file.h"
#include "native/io/io_pool.h"
#include "native/io/unique_fd.h"
#include "native/virtio/guest_memory.h"
#include "native/virtio/slot_layout.h"
#include "native/virtio/split_queue.h"

namespace gateway {

// What the device tells JavaScript beside requests.
enum class DeviceEvent : uint32_t {
  kRingBroken = 1,     // a queue was stopped because its ring made no sense
  kMemoryFault = 2,    // shared memory vanished
  kPrivateMemory = 3,  // the guest kicks, but what it writes does not reach us
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  static constexpr uint32_t kMaxQueues = 65;  // hiprio and 64 request queues
  static constexpr uint32_t kBatch = 8;       // measured: 1 costs 30 %, 64 costs 10-25 %

  class Host {
   public:
    virtual ~Host() = default;
    // Has JavaScript answer batch()[0, count): it fills results() in the same order.
    virtual void RunBatch(uint32_t count) = 0;
    virtual void OnEvent(DeviceEvent event, uint32_t queue) = 0;
    // Requests can be taken again after all slots had been in use.
    virtual void Resume() = 0;
  };

  struct Statistics {
    uint64_t requests = 0;
    uint64_t transfers = 0;  // of these, the reads and writes that JavaScript did not see
    uint64_t malformed = 0;
    uint64_t kicks = 0;
    uint64_t signals = 0;
  };

  // Null when there is no memory for the slots.
  static std::shared_ptr<Device> Create(Host& host, IoPool& pool);
  ~Device();

  // ---- Configuration (vhost-user messages). Errors are errno values. ----

  // Replaces all regions; 0, or EINVAL when two overlap, EFAULT when a running ring is left
  // outside.
  int SetRegions(GuestMemory::Regions regions);
  [[nodiscard]] const GuestMemory& memory() const noexcept { return *memory_; }

  // Starts a ring. Where it goes on from where Detach left it, requests that were in flight then
  // are still the device's: they are answered into it. Any other ring voids them.
  int ConfigureQueue(uint32_t index, uint32_t size, const SplitQueue::Addresses& addresses,
                     uint16_t base, bool event_index);
  void SetCall(uint32_t index, UniqueFd fd) noexcept;
  void SetError(uint32_t index, UniqueFd fd) noexcept { queues_[index].error = std::move(fd); }
  void SetEnabled(uint32_t index, bool enabled) noexcept;
  // Takes no more requests from the queue; those in flight are still answered.
  void Quiesce(uint32_t index) noexcept { queues_[index].running = false; }
  // Lets go of the ring: answers to what is still in flight wait for it to go on. Returns where.
  uint16_t Detach(uint32_t index) noexcept;
  // Voids what is in flight: its answers are dropped.
  void Abandon(uint32_t index) noexcept;
  [[nodiscard]] uint32_t InFlight(uint32_t index) const noexcept {
    return queues_[index].in_flight;
  }
  [[nodiscard]] const Statistics& statistics(uint32_t index) const noexcept {
    return queues_[index].statistics;
  }
  void CountKick(uint32_t index);

  // ---- Requests ----

  // Takes up to a batch of requests from the queues, has them answered and publishes the answers.
  // Returns how many were taken. Under load the guest is signalled once for several passes: call
  // Publish() before doing anything else for long.
  uint32_t RunPass();
  // Whether a running queue has something that RunPass could take.
  [[nodiscard]] bool HasWork() const noexcept;
  // Whether exactly one request is not answered, and none waits to be taken.
  [[nodiscard]] bool IsAlone() const noexcept {
    return free_slots_.size() == slot_layout::kSlots - 1 && !HasWork();
  }
  void DisableKicks() noexcept;
  // True when there is work after all.
  [[nodiscard]] bool EnableKicks() noexcept;

  // Answers a request: `result` is a body length, optionally + kBodyInPlace, a negative errno or
  // kNoReply, or kTransfer. Visible to the guest after Publish().
  void Complete(uint32_t slot, int32_t result);
  // The same for READ (`write` false) and WRITE of a bound file.
  void CompleteTransfer(uint32_t slot, ssize_t result, bool write);
  // Has JavaScript answer a READ that native code had begun. Not while a pass runs.
  void PassToBackend(uint32_t slot);
  void Publish() noexcept;  // and signals the guest

  // Copies bytes [offset, offset + size) of the request to `target`; those in the slot come from
  // there, so that no byte is fetched twice. Returns how many there were.
  size_t ReadRequest(uint32_t slot, size_t offset, std::span<std::byte> target) noexcept;
  // Writes the reply's body to guest memory. False when it does not fit.
  [[nodiscard]] bool WriteBody(uint32_t slot, std::span<const std::byte> source) noexcept;

  // What a handle was opened for (O_ACCMODE).
  struct Access {
    bool read = false;
    bool write = false;
  };

  // READ and WRITE with this handle and node id go to `file` from now on; with generation 0, which
  // no handle of a guest has, those that name the node alone (handle 0).
  void Bind(uint32_t handle, uint32_t generation, uint64_t node_id, Access access,
            std::shared_ptr<BoundFile> file);
  void Unbind(uint32_t handle) noexcept;

  [[nodiscard]] bool IsBusy(uint32_t slot) const noexcept {
    return slot < slot_layout::kSlots && slots_[slot].busy;
  }
  [[nodiscard]] std::byte* slot_memory() const noexcept { return slot_memory_; }
  [[nodiscard]] std::array<uint32_t, kBatch>& batch() noexcept { return batch_; }
  [[nodiscard]] std::array<int32_t, kBatch>& results() noexcept { return results_; }

 private:
  struct Queue {
    SplitQueue ring;
    UniqueFd call;
    UniqueFd error;
    bool configured = false;
    bool enabled = false;
    bool running = false;
    uint32_t epoch = 0;  // changes when requests are abandoned: older ones are void
    uint32_t in_flight = 0;
    uint64_t signalled_ns = 0;
    Statistics statistics;
  };
  struct Slot {
    Chain chain;
    uint64_t unique = 0;
    uint32_t queue = 0;
    uint32_t epoch = 0;
    bool busy = false;
    bool deferred = false;  // answered with `result` while the ring was detached
    int32_t result = 0;
    // The memory the chain was translated with, kept when the table changes under the request.
    std::shared_ptr<const GuestMemory> memory;
  };
  struct Binding {
    std::shared_ptr<BoundFile> file;
    uint64_t node_id = 0;
    uint32_t generation = 0;
    Access access;
  };
  struct Pass {
    uint32_t taken = 0;
    uint32_t batched = 0;
    uint32_t large_reads = 0;  // that are done when the pass has taken all it takes
    uint32_t unpublished = 0;
    uint64_t bytes = 0;
  };
  // What a READ or WRITE asks for. No JavaScript runs, and nothing is unbound, while one exists.
  struct Transfer {
    const Binding* binding = nullptr;
    uint64_t offset = 0;
    uint32_t size = 0;
    bool write = false;
  };
  // A part of a large READ.
  struct ReadPart {
    uint32_t slot = 0;
    const Binding* binding = nullptr;
    uint64_t offset = 0;
    uint64_t size = 0;
    std::vector<iovec> buffers;
    ssize_t result = 0;
  };

  Device(Host& host, IoPool& pool, std::byte* slot_memory);

  [[nodiscard]] bool CanTake(const Queue& queue) const noexcept {
    return queue.running && queue.enabled;
  }
  // How many more requests a pass may take that JavaScript could have to answer: a large read may
  // turn out to be one.
  [[nodiscard]] static uint32_t RoomInBatch(const Pass& pass) noexcept {
    return kBatch - pass.batched - pass.large_reads;
  }
  void TakeFrom(uint32_t queue_index, Pass* pass);
  // Puts chains into free slots, those into `popped_`; returns how many.
  [[nodiscard]] uint32_t PopChains(uint32_t queue_index, Pass* pass);
  // Answers what was popped into the slot, or adds it to the batch.
  void Take(uint32_t slot_index, uint32_t queue_index, Pass* pass);
  // Parses it. True when JavaScript or native code is to answer.
  [[nodiscard]] bool Accept(uint32_t slot_index, uint32_t queue_index);
  // Answers READ and WRITE of a bound file, now or later; false for what JavaScript is to answer.
  [[nodiscard]] bool TryTransfer(uint32_t slot_index, Pass* pass);
  // The same where JavaScript has bound the file meanwhile.
  void TransferNow(uint32_t slot_index);
  // True with `*transfer` set, or when the request is answered (no binding then).
  [[nodiscard]] bool ParseTransfer(uint32_t slot_index, Transfer* transfer);
  // What came of a transfer that may not wait. False when JavaScript is to answer.
  [[nodiscard]] bool FinishTransfer(uint32_t slot_index, const Transfer& transfer, ssize_t result);
  // READs that native code does in parts, on several threads when there are any to spare.
  void AddLargeRead(uint32_t slot_index, const Transfer& transfer);
  void RunLargeReads(Pass* pass);
  [[nodiscard]] const Binding* FindBinding(const Slot& slot,
                                           const uint32_t* request) const noexcept;
  void FinishBatch(uint32_t count);
  void PublishUnderLoad() noexcept;
  void SignalGuest(Queue& queue) noexcept;
  void BreakRing(uint32_t queue_index);
  // Answers, or voids, what was answered while the ring was detached.
  void CompleteDeferred(uint32_t queue_index) noexcept;
  void Finish(uint32_t slot_index, uint32_t used_length) noexcept;
  [[nodiscard]] uint32_t* words(uint32_t slot) const noexcept {
    return reinterpret_cast<uint32_t*>(slot_memory_ + slot * slot_layout::kSlotBytes);
  }

  Host& host_;
  IoPool& pool_;
  std::byte* const slot_memory_;
  std::shared_ptr<const GuestMemory> memory_;
  std::array<Queue, kMaxQueues> queues_;
  uint32_t queue_count_ = 0;
  uint32_t next_queue_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Binding> bindings_;
  // Places in bindings_ of the files that are bound to their node.
  std::unordered_map<uint64_t, uint32_t> by_node_;
  std::vector<iovec> transfer_;
  // The first `part_count_` are those of the pass; the others are kept for their buffers.
  std::vector<ReadPart> parts_;
  uint32_t part_count_ = 0;
  std::array<uint32_t, kBatch> popped_{};
  std::array<uint32_t, kBatch> batch_{};
  std::array<int32_t, kBatch> results_{};
};

}  // namespace gateway

#endif  // NATIVE_VIRTIO_DEVICE_H_
