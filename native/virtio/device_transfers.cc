// READ and WRITE of bound files: the part of the device that JavaScript never sees.
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "native/virtio/buffers.h"
#include "native/virtio/device.h"

namespace gateway {
namespace {

using namespace slot_layout;

constexpr size_t kHeaderBytes = sizeof(fuse_in_header);
constexpr size_t kReplyHeaderBytes = sizeof(fuse_out_header);
constexpr size_t kWriteStart = kHeaderBytes + sizeof(fuse_write_in);
// Smaller ones are done before a helper is awake.
constexpr uint32_t kLargeRead = 128 * 1024;
constexpr uint64_t kPartBytes = 128 * 1024;
// Parts whose buffers are kept: a guest that asks for more at once asks for very much.
constexpr size_t kKeptParts = 64;
// Of a pass's budget a large read takes this part, so that there is something to share.
constexpr uint32_t kLargeReadShare = 4;

// A READ or WRITE of a bound file, on a pool thread.
class TransferJob final : public IoJob {
 public:
  TransferJob(std::shared_ptr<Device> device, std::shared_ptr<BoundFile> file, uint32_t slot,
              std::vector<iovec> buffers, uint64_t offset, bool write)
      : device_(std::move(device)),
        file_(std::move(file)),
        buffers_(std::move(buffers)),
        offset_(offset),
        slot_(slot),
        write_(write) {}

  void Run() noexcept override {
    result_ = write_ ? file_->Write(buffers_, offset_, Blocking::kAllowed)
                     : file_->Read(buffers_, offset_, Blocking::kAllowed);
  }
  void Complete() noexcept override {
    if (result_ == kForBackend) {
      device_->PassToBackend(slot_);
    } else {
      device_->CompleteTransfer(slot_, result_, write_);
    }
    device_->Publish();
  }

 private:
  std::shared_ptr<Device> device_;
  std::shared_ptr<BoundFile> file_;
  std::vector<iovec> buffers_;
  uint64_t offset_;
  ssize_t result_ = -EIO;
  uint32_t slot_;
  bool write_;
};

// A guest that opens files without asking has no handles. Those that are given begin at
// generation 1.
bool NamesNodeAlone(const uint32_t* handle) noexcept { return handle[0] == 0 && handle[1] == 0; }

}  // namespace

const Device::Binding* Device::FindBinding(const Slot& slot,
                                           const uint32_t* request) const noexcept {
  // fuse_read_in and fuse_write_in begin with the handle: index, generation.
  const uint32_t* arguments = request + kHeaderBytes / sizeof(uint32_t);
  uint32_t index = arguments[0];
  uint64_t node_id;
  std::memcpy(&node_id, request + offsetof(fuse_in_header, nodeid) / sizeof(uint32_t),
              sizeof(node_id));
  if (NamesNodeAlone(arguments)) {
    const auto found = by_node_.find(node_id);
    index = found == by_node_.end() ? UINT32_MAX : found->second;
  }
  if (index >= bindings_.size() || slot.chain.readable_bytes < kHeaderBytes + 40) {
    return nullptr;
  }
  const Binding& binding = bindings_[index];
  const bool matches =
      binding.file != nullptr && binding.generation == arguments[1] && binding.node_id == node_id;
  return matches ? &binding : nullptr;
}

bool Device::ParseTransfer(uint32_t slot_index, Transfer* transfer) {
  const uint32_t* control = words(slot_index);
  const uint32_t* request = control + kRequestOffset / sizeof(uint32_t);
  const uint32_t opcode = request[1];
  if (opcode != FUSE_READ && opcode != FUSE_WRITE) {
    return false;
  }
  const bool write = opcode == FUSE_WRITE;
  const Slot& slot = slots_[slot_index];
  const Binding* binding = FindBinding(slot, request);
  // fuse_read_in and fuse_write_in have handle, offset and size in the same places.
  constexpr size_t kArguments = sizeof(fuse_read_in);
  static_assert(sizeof(fuse_write_in) == kArguments);
  fuse_read_in arguments;
  std::memcpy(&arguments, request + kHeaderBytes / sizeof(uint32_t), sizeof(arguments));
  if (binding == nullptr || control[kRequestLength] < kHeaderBytes + kArguments) {
    return false;
  }
  const bool by_node = binding->generation == 0;
  if (by_node && (arguments.flags & (write ? O_SYNC : O_NOATIME)) != 0) {
    // Not what the file was opened for.
    return false;
  }
  if (by_node && write && !binding->access.write) {
    return false;
  }
  if (!(write ? binding->access.write : binding->access.read)) {
    Complete(slot_index, -EBADF);
    return true;
  }
  // fuse_write_in has write_flags where fuse_read_in has read_flags. Who may keep setuid and
  // setgid, and what else goes with them, is for the backend to decide.
  if (write && (arguments.read_flags & FUSE_WRITE_KILL_SUIDGID) != 0 &&
      binding->file->MayHavePrivileges()) {
    return false;
  }
  const uint64_t room = write
                            ? control[kRequestLength] - kHeaderBytes - kArguments
                            : slot.chain.writable_bytes -
                                  std::min<uint64_t>(slot.chain.writable_bytes, kReplyHeaderBytes);
  if (arguments.size > room || arguments.offset > INT64_MAX) {
    Complete(slot_index, -EINVAL);
    return true;
  }
  *transfer = {binding, arguments.offset, arguments.size, write};
  return true;
}

bool Device::TryTransfer(uint32_t slot_index, Pass* pass) {
  Transfer transfer;
  if (!ParseTransfer(slot_index, &transfer)) {
    return false;
  }
  if (transfer.binding == nullptr) {
    return true;
  }
  BoundFile& file = *transfer.binding->file;
  if (!transfer.write && transfer.size >= kLargeRead && file.ReadsInParallel()) {
    pass->bytes += transfer.size / kLargeReadShare;
    ++pass->large_reads;
    AddLargeRead(slot_index, transfer);
    return true;
  }
  const Slot& slot = slots_[slot_index];
  ssize_t result;
  if (transfer.write) {
    Slice(slot.chain.readable, kWriteStart, transfer.size, &transfer_);
    result = file.Write(transfer_, transfer.offset, Blocking::kNever);
  } else {
    Slice(slot.chain.writable, kReplyHeaderBytes, transfer.size, &transfer_);
    result = file.Read(transfer_, transfer.offset, Blocking::kNever);
  }
  pass->bytes += result > 0 ? static_cast<uint64_t>(result) : 0;
  return FinishTransfer(slot_index, transfer, result);
}

void Device::TransferNow(uint32_t slot_index) {
  Pass pass;
  const bool taken = TryTransfer(slot_index, &pass);
  if (pass.large_reads > 0) {
    RunLargeReads(&pass);
  }
  // JavaScript has just said that native code can.
  if (!taken || pass.batched > 0) {
    Complete(slot_index, -EIO);
  }
}

bool Device::FinishTransfer(uint32_t slot_index, const Transfer& transfer, ssize_t result) {
  if (result == kForBackend) {
    return false;
  }
  if (result == -EAGAIN) {
    pool_.Submit(std::make_unique<TransferJob>(shared_from_this(), transfer.binding->file,
                                               slot_index, transfer_, transfer.offset,
                                               transfer.write));
  } else {
    CompleteTransfer(slot_index, result, transfer.write);
  }
  return true;
}

void Device::AddLargeRead(uint32_t slot_index, const Transfer& transfer) {
  for (uint64_t done = 0; done < transfer.size; done += kPartBytes) {
    if (part_count_ == parts_.size()) {
      parts_.emplace_back();
    }
    ReadPart& part = parts_[part_count_++];
    part.slot = slot_index;
    part.binding = transfer.binding;
    part.offset = transfer.offset + done;
    part.size = std::min(kPartBytes, transfer.size - done);
    Slice(slots_[slot_index].chain.writable, kReplyHeaderBytes + done, part.size, &part.buffers);
  }
}

void Device::RunLargeReads(Pass* pass) {
  pool_.helpers().Run(part_count_, [this](uint32_t index) {
    ReadPart& part = parts_[index];
    part.result = part.binding->file->Read(part.buffers, part.offset, Blocking::kNever);
  });
  const std::span<ReadPart> parts(parts_.data(), part_count_);
  part_count_ = 0;
  for (size_t begin = 0; begin < parts.size();) {
    const uint32_t slot = parts[begin].slot;
    Transfer transfer = {parts[begin].binding, parts[begin].offset, 0, false};
    // As one read(2) would: what follows a part that is short does not count, nor does what follows
    // an error.
    ssize_t result = 0;
    bool whole = true;
    size_t end = begin;
    for (; end < parts.size() && parts[end].slot == slot; ++end) {
      const ReadPart& part = parts[end];
      transfer.size += static_cast<uint32_t>(part.size);
      if (whole) {
        result = part.result < 0 ? part.result : result + part.result;
        whole = part.result == static_cast<ssize_t>(part.size);
      }
    }
    begin = end;
    if (result == -EAGAIN) {
      Slice(slots_[slot].chain.writable, kReplyHeaderBytes, transfer.size, &transfer_);
    }
    if (!FinishTransfer(slot, transfer, result)) {
      batch_[pass->batched++] = slot;
    }
  }
  if (parts_.size() > kKeptParts) {
    parts_.resize(kKeptParts);
  }
}

void Device::PassToBackend(uint32_t slot) {
  if (IsBusy(slot)) {
    batch_[0] = slot;
    host_.RunBatch(1);
    FinishBatch(1);
  }
}

void Device::CompleteTransfer(uint32_t slot, ssize_t result, bool write) {
  if (result < 0 || !write) {
    Complete(slot, static_cast<int32_t>(result < 0 ? result : result + kBodyInPlace));
    return;
  }
  const fuse_write_out reply = {static_cast<uint32_t>(result), 0};
  std::memcpy(slot_memory_ + slot * kSlotBytes + kReplyStart, &reply, sizeof(reply));
  Complete(slot, sizeof(reply));
}

void Device::Bind(uint32_t handle, uint32_t generation, uint64_t node_id, Access access,
                  std::shared_ptr<BoundFile> file) {
  if (handle >= bindings_.size()) {
    bindings_.resize(std::max<size_t>(handle + 1, bindings_.size() * 2));
  }
  bindings_[handle] = {std::move(file), node_id, generation, access};
  if (generation == 0) {
    by_node_[node_id] = handle;
  }
}

void Device::Unbind(uint32_t handle) noexcept {
  if (handle < bindings_.size()) {
    const Binding& binding = bindings_[handle];
    if (const auto found = by_node_.find(binding.node_id);
        binding.generation == 0 && found != by_node_.end() && found->second == handle) {
      by_node_.erase(found);
    }
    // A transfer on a pool thread keeps its own reference.
    bindings_[handle] = {};
  }
}

}  // namespace gateway
