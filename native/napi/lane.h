// The lane: runs the device on Node's event loop.
//
// A kick wakes the loop once; then C++ takes batches, has JavaScript answer them, publishes, and
// polls for more for a short while before it lets the loop sleep again. After a time slice the
// event loop gets its turn (timers, promises, sockets) and the lane goes on from an idle handle.
#ifndef NATIVE_NAPI_LANE_H_
#define NATIVE_NAPI_LANE_H_

#include <node_api.h>
#include <uv.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "native/virtio/device.h"

namespace gateway {

// Decides when polling for more work pays. A ping-pong guest comes back within its own wake-up
// time; a guest that does something else does not, and polling would only take its processor away.
// So would it where threads outnumber processors, which shows as polling that is preempted.
class SpinControl {
 public:
  explicit SpinControl(uint64_t window_ns) noexcept : window_ns_(window_ns) {}

  // How long to poll now; 0: not at all.
  [[nodiscard]] uint64_t Window(uint64_t now_ns) noexcept;
  // The last window ended with work, or without.
  void Found() noexcept;
  void Missed() noexcept;
  // The last window lost the processor for so long.
  void Preempted(uint64_t now_ns, uint64_t lost_ns) noexcept;

 private:
  static constexpr uint32_t kFreeMisses = 8;
  static constexpr uint32_t kMostSkipped = 64;
  // Polling pauses for 16 times what it lost, and for twice as long after each further loss.
  static constexpr uint32_t kFirstPause = 4;
  static constexpr uint32_t kLongestPause = 10;
  static constexpr uint32_t kFindsForEachLoss = 512;

  const uint64_t window_ns_;
  uint32_t misses_ = 0;
  uint32_t to_skip_ = 0;
  // Losses, fewer again as windows end with work: how crowded the processors are.
  uint32_t losses_ = 0;
  uint32_t finds_ = 0;
  uint64_t paused_until_ns_ = 0;
};

class Lane final : public Device::Host {
 public:
  // Null when there is no memory for the request slots.
  static Lane* Create(napi_env env, uint64_t spin_ns);

  [[nodiscard]] Device& device() noexcept { return *device_; }

  // `on_batch(count)` answers requests, `on_event(kind, queue)` hears of trouble.
  void SetHandlers(napi_value on_batch, napi_value on_event);
  // Watches a kick descriptor, or none. Returns 0 or an errno value.
  int SetKick(uint32_t queue, UniqueFd fd);
  // Looks for work soon, although no kick came.
  void Resume() override { SetHot(true); }
  // Stops everything; the object deletes itself once libuv has let go of it.
  void Close();
  // The JavaScript object is gone as well.
  void Release();

  void RunBatch(uint32_t count) override;
  void OnEvent(DeviceEvent event, uint32_t queue) override;

 private:
  struct KickPoll {
    uv_poll_t poll;
    Lane* lane = nullptr;
    uint32_t queue = 0;
    UniqueFd fd;
  };

  Lane(napi_env env, uint64_t spin_ns) noexcept : env_(env), spin_(spin_ns) {}

  void OnKick(KickPoll* kick);
  void RunSlice();
  // Takes what there is for as long as a slice lasts. True when the lane should stay awake.
  [[nodiscard]] bool RunUntilQuiet(uint64_t slice_end_ns);
  bool WaitForWork() noexcept;
  void SetHot(bool hot) noexcept;
  void DeliverEvents();
  void CallJs(napi_ref function, uint32_t first, uint32_t second, int count);
  void StopKick(uint32_t queue) noexcept;
  void MaybeDelete() noexcept;

  napi_env env_;
  SpinControl spin_;
  // Involuntary switches when the slice began to poll.
  std::optional<long> switches_;
  std::shared_ptr<Device> device_;
  IoPool* pool_ = nullptr;
  uv_loop_t* loop_ = nullptr;
  uv_idle_t idle_;
  napi_async_context context_ = nullptr;
  napi_ref on_batch_ = nullptr;
  napi_ref on_event_ = nullptr;
  std::array<KickPoll*, Device::kMaxQueues> kicks_{};
  std::vector<std::pair<DeviceEvent, uint32_t>> events_;
  int open_handles_ = 0;
  bool hot_ = false;
  bool closed_ = false;
  bool released_ = false;
  bool fault_reported_ = false;
};

}  // namespace gateway

#endif  // NATIVE_NAPI_LANE_H_
