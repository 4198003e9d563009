#include "native/napi/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "native/io/polling.h"

namespace gateway {
namespace {

constexpr uint64_t kSliceNs = 150'000;
// A look at the rings takes a microsecond at most: who did not come back sooner was preempted.
constexpr uint64_t kPreemptedNs = 40'000;

// How often the thread lost its processor to another one. The time that a hypervisor takes, and
// interrupts, do not count.
long InvoluntarySwitches() noexcept {
  rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

}  // namespace

uint64_t SpinControl::Window(uint64_t now_ns) noexcept {
  if (to_skip_ > 0) {
    --to_skip_;
    return 0;
  }
  return now_ns < paused_until_ns_ ? 0 : window_ns_;
}

void SpinControl::Found() noexcept {
  misses_ = 0;
  if (losses_ > 0 && ++finds_ % kFindsForEachLoss == 0) {
    --losses_;
  }
}

void SpinControl::Missed() noexcept {
  ++misses_;
  if (misses_ > kFreeMisses) {
    to_skip_ = std::min(1u << std::min(misses_ - kFreeMisses, 6u), kMostSkipped);
  }
}

void SpinControl::Preempted(uint64_t now_ns, uint64_t lost_ns) noexcept {
  paused_until_ns_ = now_ns + (lost_ns << std::min(kFirstPause + losses_, kLongestPause));
  ++losses_;
}

Lane* Lane::Create(napi_env env, uint64_t spin_ns) {
  std::unique_ptr<Lane> lane(new Lane(env, spin_ns));
  lane->pool_ = &IoPool::ForEnv(env);
  lane->device_ = Device::Create(*lane, *lane->pool_);
  if (lane->device_ == nullptr) {
    return nullptr;
  }
  napi_get_uv_event_loop(env, &lane->loop_);
  uv_idle_init(lane->loop_, &lane->idle_);
  lane->idle_.data = lane.get();
  lane->open_handles_ = 1;
  napi_value name = nullptr;
  napi_create_string_utf8(env, "virtiofs-gateway:lane", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, nullptr, name, &lane->context_);
  return lane.release();
}

void Lane::SetHandlers(napi_value on_batch, napi_value on_event) {
  napi_create_reference(env_, on_batch, 1, &on_batch_);
  napi_create_reference(env_, on_event, 1, &on_event_);
}

int Lane::SetKick(uint32_t queue, UniqueFd fd) {
  StopKick(queue);
  if (!fd.valid() || closed_) {
    return 0;
  }
  auto kick = std::make_unique<KickPoll>();
  kick->lane = this;
  kick->queue = queue;
  kick->fd = std::move(fd);
  kick->poll.data = kick.get();
  if (const int error = uv_poll_init(loop_, &kick->poll, kick->fd.get()); error != 0) {
    return -error;
  }
  ++open_handles_;
  uv_poll_start(&kick->poll, UV_READABLE | UV_DISCONNECT, [](uv_poll_t* poll, int, int) {
    auto* ready = static_cast<KickPoll*>(poll->data);
    ready->lane->OnKick(ready);
  });
  kicks_[queue] = kick.release();
  return 0;
}

void Lane::StopKick(uint32_t queue) noexcept {
  KickPoll* kick = std::exchange(kicks_[queue], nullptr);
  if (kick == nullptr) {
    return;
  }
  uv_poll_stop(&kick->poll);
  // The descriptor stays open until libuv has let go of it, so that its number is not reused.
  uv_close(reinterpret_cast<uv_handle_t*>(&kick->poll), [](uv_handle_t* handle) {
    std::unique_ptr<KickPoll> closed(static_cast<KickPoll*>(handle->data));
    --closed->lane->open_handles_;
    closed->lane->MaybeDelete();
  });
}

void Lane::OnKick(KickPoll* kick) {
  uint64_t count = 0;
  if (read(kick->fd.get(), &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR) {
    StopKick(kick->queue);
    return;
  }
  device_->CountKick(kick->queue);
  RunSlice();
}

void Lane::SetHot(bool hot) noexcept {
  if (hot == hot_ || (closed_ && hot)) {
    return;
  }
  hot_ = hot;
  if (hot) {
    uv_idle_start(&idle_, [](uv_idle_t* idle) { static_cast<Lane*>(idle->data)->RunSlice(); });
  } else {
    uv_idle_stop(&idle_);
  }
}

void Lane::RunSlice() {
  if (closed_ || on_batch_ == nullptr) {
    SetHot(false);
    return;
  }
  napi_handle_scope handles = nullptr;
  napi_callback_scope callbacks = nullptr;
  napi_value resource = nullptr;
  napi_open_handle_scope(env_, &handles);
  napi_create_object(env_, &resource);
  napi_open_callback_scope(env_, resource, context_, &callbacks);
  switches_.reset();
  pool_->BeginPolling();
  const bool stay_hot = RunUntilQuiet(uv_hrtime() + kSliceNs);
  device_->Publish();
  pool_->EndPolling();
  DeliverEvents();
  napi_close_callback_scope(env_, callbacks);
  napi_close_handle_scope(env_, handles);
  SetHot(stay_hot);
}

bool Lane::RunUntilQuiet(uint64_t slice_end_ns) {
  device_->DisableKicks();
  bool found = true;
  while (found && !closed_) {
    while (device_->RunPass() > 0) {
      if (uv_hrtime() >= slice_end_ns) {
        return true;
      }
    }
    device_->Publish();
    if (pool_->HasCompletions()) {
      pool_->DrainCompletions();
    } else {
      found = WaitForWork();
    }
    if (found && uv_hrtime() >= slice_end_ns) {
      return true;
    }
  }
  return !closed_ && device_->EnableKicks();
}

// Polls for a while, if that pays. Returns whether to look for work again.
bool Lane::WaitForWork() noexcept {
  uint64_t now = uv_hrtime();
  const uint64_t end = now + spin_.Window(now);
  bool found = false;
  if (now < end && !switches_) {
    switches_ = InvoluntarySwitches();
  }
  while (!found && now < end) {
    for (int i = 0; i < 16 && !found; ++i) {
      found = device_->HasWork() || pool_->HasCompletions();
      Relax();
    }
    const uint64_t before = std::exchange(now, uv_hrtime());
    if (now - before > kPreemptedNs && InvoluntarySwitches() != switches_) {
      spin_.Preempted(now, now - before);
      return true;
    }
    if (found) {
      spin_.Found();
    } else if (now >= end) {
      spin_.Missed();
    }
  }
  return found;
}

void Lane::RunBatch(uint32_t count) {
  device_->results().fill(-EIO);
  CallJs(on_batch_, count, 0, 1);
}

void Lane::OnEvent(DeviceEvent event, uint32_t queue) { events_.emplace_back(event, queue); }

void Lane::DeliverEvents() {
  if (!fault_reported_ && device_->memory().faulted()) {
    fault_reported_ = true;
    // Whatever else was noticed follows from the zeros that came in the memory's place.
    events_ = {{DeviceEvent::kMemoryFault, 0}};
  }
  for (const auto& [event, queue] : std::exchange(events_, {})) {
    CallJs(on_event_, static_cast<uint32_t>(event), queue, 2);
  }
}

void Lane::CallJs(napi_ref function, uint32_t first, uint32_t second, int count) {
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env_, &scope);
  napi_value callback = nullptr;
  napi_value receiver = nullptr;
  std::array<napi_value, 2> arguments{};
  napi_get_reference_value(env_, function, &callback);
  napi_get_undefined(env_, &receiver);
  napi_create_uint32(env_, first, &arguments[0]);
  napi_create_uint32(env_, second, &arguments[1]);
  if (napi_call_function(env_, receiver, callback, static_cast<size_t>(count), arguments.data(),
                         nullptr) == napi_pending_exception) {
    // The session catches what handlers throw; what comes here is a bug that must be seen.
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env_, &exception);
    napi_fatal_exception(env_, exception);
  }
  napi_close_handle_scope(env_, scope);
}

void Lane::Close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  SetHot(false);
  for (uint32_t queue = 0; queue < Device::kMaxQueues; ++queue) {
    StopKick(queue);
    device_->Detach(queue);
  }
  device_->SetRegions({});
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), [](uv_handle_t* handle) {
    auto* lane = static_cast<Lane*>(handle->data);
    --lane->open_handles_;
    lane->MaybeDelete();
  });
}

void Lane::Release() {
  Close();
  for (napi_ref* reference : {&on_batch_, &on_event_}) {
    if (*reference != nullptr) {
      napi_delete_reference(env_, *reference);
      *reference = nullptr;
    }
  }
  released_ = true;
  MaybeDelete();
}

void Lane::MaybeDelete() noexcept {
  if (closed_ && released_ && open_handles_ == 0) {
    napi_async_destroy(env_, context_);
    const std::unique_ptr<Lane> self(this);
  }
}

}  // namespace gateway
