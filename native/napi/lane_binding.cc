// createLane(spinNs, ioThreads): the lane as a JavaScript object of plain functions.
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "native/io/descriptor_file.h"
#include "native/napi/addon.h"
#include "native/napi/arguments.h"
#include "native/napi/lane.h"

namespace gateway {
namespace {

Lane& LaneOf(const Arguments& arguments) { return *static_cast<Lane*>(arguments.data()); }

// Descriptors that JavaScript passes are taken over, also when the call fails.
UniqueFd TakeFd(const Arguments& arguments, size_t index) {
  int32_t fd = -1;
  napi_get_value_int32(arguments.env(), arguments.value(index), &fd);
  return UniqueFd(fd);
}

RegionAddress ReadRegion(const Arguments& arguments, size_t first) {
  return {arguments.Uint64(first), arguments.Uint64(first + 1), arguments.Uint64(first + 2),
          arguments.Uint64(first + 3)};
}

bool SamePlace(const RegionAddress& a, const RegionAddress& b) {
  return a.guest == b.guest && a.size == b.size && a.user == b.user;
}

// setHandlers(onBatch, onEvent)
napi_value SetHandlers(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).SetHandlers(arguments.value(0), arguments.value(1));
  return nullptr;
}

// addRegion(fd, guest, size, user, fileOffset, replaceAll): errno
napi_value AddRegion(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Device& device = LaneOf(arguments).device();
  int error = 0;
  auto region = MemoryRegion::Map(TakeFd(arguments, 0), ReadRegion(arguments, 1), &error);
  if (region == nullptr) {
    return arguments.ReturnInt32(error);
  }
  GuestMemory::Regions regions = device.memory().regions();
  regions.push_back(std::move(region));
  return arguments.ReturnInt32(device.SetRegions(std::move(regions)));
}

// setRegions(fds: Int32Array, fields: BigUint64Array of 4 per region): errno
napi_value SetRegions(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_typedarray_type type;
  size_t count = 0;
  size_t field_count = 0;
  void* fds = nullptr;
  void* fields = nullptr;
  napi_get_typedarray_info(env, arguments.value(0), &type, &count, &fds, nullptr, nullptr);
  napi_get_typedarray_info(env, arguments.value(1), &type, &field_count, &fields, nullptr, nullptr);
  int error = field_count == count * 4 ? 0 : EINVAL;
  GuestMemory::Regions regions;
  for (size_t i = 0; i < count; ++i) {
    UniqueFd fd(static_cast<const int32_t*>(fds)[i]);
    if (error == 0) {
      const auto* field = static_cast<const uint64_t*>(fields) + i * 4;
      regions.push_back(
          MemoryRegion::Map(std::move(fd), {field[0], field[1], field[2], field[3]}, &error));
    }
  }
  if (error == 0) {
    error = LaneOf(arguments).device().SetRegions(std::move(regions));
  }
  return arguments.ReturnInt32(error);
}

// removeRegion(guest, size, user): errno
napi_value RemoveRegion(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Device& device = LaneOf(arguments).device();
  const RegionAddress wanted = {arguments.Uint64(0), arguments.Uint64(1), arguments.Uint64(2), 0};
  GuestMemory::Regions regions = device.memory().regions();
  const auto found = std::find_if(regions.begin(), regions.end(), [&](const auto& region) {
    return SamePlace(region->address(), wanted);
  });
  if (found == regions.end()) {
    return arguments.ReturnInt32(ENOENT);
  }
  regions.erase(found);
  return arguments.ReturnInt32(device.SetRegions(std::move(regions)));
}

// startQueue(queue, size, descriptors, available, used, base, eventIndex): errno
napi_value StartQueue(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Lane& lane = LaneOf(arguments);
  const SplitQueue::Addresses addresses = {arguments.Uint64(2), arguments.Uint64(3),
                                           arguments.Uint64(4)};
  const int error =
      lane.device().ConfigureQueue(arguments.Uint32(0), arguments.Uint32(1), addresses,
                                   static_cast<uint16_t>(arguments.Uint32(5)), arguments.Bool(6));
  lane.Resume();
  return arguments.ReturnInt32(error);
}

// setKick(queue, fd): errno
napi_value SetKick(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnInt32(
      LaneOf(arguments).SetKick(arguments.Uint32(0), TakeFd(arguments, 1)));
}

// setCall(queue, fd)
napi_value SetCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).device().SetCall(arguments.Uint32(0), TakeFd(arguments, 1));
  return nullptr;
}

// setError(queue, fd)
napi_value SetError(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).device().SetError(arguments.Uint32(0), TakeFd(arguments, 1));
  return nullptr;
}

// setEnabled(queue, enabled)
napi_value SetEnabled(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Lane& lane = LaneOf(arguments);
  lane.device().SetEnabled(arguments.Uint32(0), arguments.Bool(1));
  lane.Resume();
  return nullptr;
}

// quiesce(queue)
napi_value Quiesce(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).device().Quiesce(arguments.Uint32(0));
  return nullptr;
}

// detach(queue): the index to go on with
napi_value Detach(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnUint32(LaneOf(arguments).device().Detach(arguments.Uint32(0)));
}

// abandon(queue)
napi_value Abandon(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).device().Abandon(arguments.Uint32(0));
  return nullptr;
}

// inFlight(queue)
napi_value InFlight(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnUint32(LaneOf(arguments).device().InFlight(arguments.Uint32(0)));
}

// isAlone(): whether there is one request and no more
napi_value IsAlone(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_value alone = nullptr;
  napi_get_boolean(env, LaneOf(arguments).device().IsAlone(), &alone);
  return alone;
}

// statistics(queue, into: Float64Array(5)): requests, malformed, kicks, signals, transfers
napi_value ReadStatistics(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const Device::Statistics& numbers = LaneOf(arguments).device().statistics(arguments.Uint32(0));
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(env, arguments.value(1), &type, &length, &data, nullptr, nullptr);
  if (type == napi_float64_array && length >= 5) {
    auto* into = static_cast<double*>(data);
    into[0] = static_cast<double>(numbers.requests);
    into[1] = static_cast<double>(numbers.malformed);
    into[2] = static_cast<double>(numbers.kicks);
    into[3] = static_cast<double>(numbers.signals);
    into[4] = static_cast<double>(numbers.transfers);
  }
  return nullptr;
}

// complete(slot, result)
napi_value Complete(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Device& device = LaneOf(arguments).device();
  device.Complete(arguments.Uint32(0), arguments.Int32(1));
  device.Publish();
  return nullptr;
}

// readRequest(slot, offset, into): bytes
napi_value ReadRequest(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const size_t count = LaneOf(arguments).device().ReadRequest(
      arguments.Uint32(0), arguments.Uint32(1), arguments.Bytes(2));
  return arguments.ReturnUint32(static_cast<uint32_t>(count));
}

// writeBody(slot, from, length): whether it fitted
napi_value WriteBody(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const std::span<std::byte> from = arguments.Bytes(1);
  const size_t length = arguments.Uint32(2);
  const bool fitted = length <= from.size() &&
                      LaneOf(arguments).device().WriteBody(arguments.Uint32(0), from.first(length));
  napi_value result = nullptr;
  napi_get_boolean(env, fitted, &result);
  return result;
}

uint64_t NodeId(const Arguments& arguments, size_t low) {
  return arguments.Uint32(low) | static_cast<uint64_t>(arguments.Uint32(low + 1)) << 32;
}

// Binds the handle in arguments 0 to 4: index, generation, node id low, node id high, O_ACCMODE
// bits.
void BindFile(const Arguments& arguments, std::shared_ptr<BoundFile> file) {
  const uint32_t mode = arguments.Uint32(4) & O_ACCMODE;
  const Device::Access access = {mode != O_WRONLY, mode != O_RDONLY};
  LaneOf(arguments).device().Bind(arguments.Uint32(0), arguments.Uint32(1), NodeId(arguments, 2),
                                  access, std::move(file));
}

// bindDescriptor(handle, generation, nodeIdLow, nodeIdHigh, accessMode, fd)
napi_value BindDescriptor(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  BindFile(arguments, std::make_shared<DescriptorFile>(TakeFd(arguments, 5)));
  return nullptr;
}

// bindArena(handle, generation, nodeIdLow, nodeIdHigh, accessMode, arena, file, append, keepAtime)
napi_value BindArena(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  std::shared_ptr<BoundFile> file =
      BindArenaFile(env, Napi::Value(env, arguments.value(5)), arguments.Uint32(6),
                    arguments.Bool(7), arguments.Bool(8));
  if (file != nullptr) {
    BindFile(arguments, std::move(file));
  }
  return nullptr;
}

// bindPartial(handle, generation, nodeIdLow, nodeIdHigh, accessMode, file)
napi_value BindPartial(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  std::shared_ptr<BoundFile> file = BindPartialFile(env, Napi::Value(env, arguments.value(5)));
  if (file != nullptr) {
    BindFile(arguments, std::move(file));
  }
  return nullptr;
}

// unbind(handle)
napi_value Unbind(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  LaneOf(arguments).device().Unbind(arguments.Uint32(0));
  return nullptr;
}

// close()
napi_value Close(napi_env env, napi_callback_info info) {
  LaneOf(Arguments(env, info)).Close();
  return nullptr;
}

// The device lives as long as any of the buffers that show its memory.
void DefineBuffer(napi_env env, napi_value object, const char* name, void* data, size_t size,
                  const std::shared_ptr<Device>& device) {
  napi_value buffer = nullptr;
  auto hold = std::make_unique<std::shared_ptr<Device>>(device);
  const auto release = [](napi_env, void*, void* hint) {
    const std::unique_ptr<std::shared_ptr<Device>> held(
        static_cast<std::shared_ptr<Device>*>(hint));
  };
  if (napi_create_external_arraybuffer(env, data, size, release, hold.get(), &buffer) == napi_ok) {
    [[maybe_unused]] auto* held_by_buffer = hold.release();
  }
  napi_set_named_property(env, object, name, buffer);
}

struct Entry {
  const char* name;
  napi_callback callback;
};

constexpr Entry kFunctions[] = {
    {"setHandlers", SetHandlers},
    {"addRegion", AddRegion},
    {"setRegions", SetRegions},
    {"removeRegion", RemoveRegion},
    {"startQueue", StartQueue},
    {"setKick", SetKick},
    {"setCall", SetCall},
    {"setError", SetError},
    {"setEnabled", SetEnabled},
    {"quiesce", Quiesce},
    {"detach", Detach},
    {"abandon", Abandon},
    {"inFlight", InFlight},
    {"isAlone", IsAlone},
    {"statistics", ReadStatistics},
    {"complete", Complete},
    {"readRequest", ReadRequest},
    {"writeBody", WriteBody},
    {"bindDescriptor", BindDescriptor},
    {"bindArena", BindArena},
    {"bindPartial", BindPartial},
    {"unbind", Unbind},
    {"close", Close},
};

// createLane(spinNs, ioThreads): the lane, or undefined when memory is short
napi_value CreateLane(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Lane* lane = Lane::Create(env, arguments.Uint32(0));
  if (lane == nullptr) {
    return nullptr;
  }
  if (const uint32_t threads = arguments.Uint32(1); threads > 0) {
    IoPool::ForEnv(env).set_threads(static_cast<int>(threads));
  }
  napi_value object = nullptr;
  napi_create_object(env, &object);
  for (const Entry& entry : kFunctions) {
    DefineFunction(env, object, entry.name, entry.callback, lane);
  }
  const std::shared_ptr<Device> device = lane->device().shared_from_this();
  DefineBuffer(env, object, "slots", device->slot_memory(),
               slot_layout::kSlots * slot_layout::kSlotBytes, device);
  DefineBuffer(env, object, "batch", device->batch().data(), sizeof(device->batch()), device);
  DefineBuffer(env, object, "results", device->results().data(), sizeof(device->results()), device);
  napi_wrap(
      env, object, lane, [](napi_env, void* data, void*) { static_cast<Lane*>(data)->Release(); },
      nullptr, nullptr);
  return object;
}

}  // namespace

void RegisterLane(Napi::Env env, Napi::Object exports) {
  DefineFunction(env, exports, "createLane", CreateLane);
}

}  // namespace gateway
