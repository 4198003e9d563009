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

Device::Binding* Device::FindBinding(const Slot& slot, const uint32_t* request) noexcept {
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
  Binding& binding = bindings_[index];
  const bool matches =
      binding.file != nullptr && binding.generation == arguments[1] && binding.node_id == node_id;
  return matches ? &binding : nullptr;
}

bool Device::TryTransfer(uint32_t slot_index, Pass* pass) {
  const uint32_t* control = words(slot_index);
  const uint32_t* request = control + kRequestOffset / sizeof(uint32_t);
  const uint32_t opcode = request[1];
  if (opcode != FUSE_READ && opcode != FUSE_WRITE) {
    return false;
  }
  const bool write = opcode == FUSE_WRITE;
  Slot& slot = slots_[slot_index];
  Binding* binding = FindBinding(slot, request);
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
  const std::vector<iovec>& source = write ? slot.chain.readable : slot.chain.writable;
  Slice(source, write ? kHeaderBytes + kArguments : kReplyHeaderBytes, arguments.size, &transfer_);
  const ssize_t result = write ? binding->file->Write(transfer_, arguments.offset, Blocking::kNever)
                               : binding->file->Read(transfer_, arguments.offset, Blocking::kNever);
  if (result == kForBackend) {
    return false;
  }
  if (result == -EAGAIN) {
    pool_.Submit(std::make_unique<TransferJob>(shared_from_this(), binding->file, slot_index,
                                               transfer_, arguments.offset, write));
    return true;
  }
  pass->bytes += result > 0 ? static_cast<uint64_t>(result) : 0;
  CompleteTransfer(slot_index, result, write);
  return true;
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
