// Threads that help the loop thread with work that is mere processor time: copies out of the page
// cache, attributes of many files. Unlike the I/O pool's jobs such work is never handed over: the
// loop thread begins with it at once and helpers take from what is left, so that a helper that
// comes late, or not at all, costs nothing.
#ifndef NATIVE_IO_HELPER_TEAM_H_
#define NATIVE_IO_HELPER_TEAM_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace gateway {

// Owned by the loop thread; every method is for that thread. Threads are started at the first
// Run().
class HelperTeam {
 public:
  // More would only compete for the same memory.
  static constexpr int kMostHelpers = 3;
  static constexpr uint32_t kMostParts = 65'535;

  // One helper for each further processor, up to kMostHelpers.
  HelperTeam();
  explicit HelperTeam(int helpers) noexcept : most_(helpers) {}
  HelperTeam(const HelperTeam&) = delete;
  HelperTeam& operator=(const HelperTeam&) = delete;
  // Calls Close().
  ~HelperTeam();

  // Calls `part(i)` for each i < `count` once, in any order and on several threads, and returns
  // when all are done. `part` must not throw and not call Run().
  template <typename Part>
  void Run(uint32_t count, Part part) {
    const auto call = [](void* context, uint32_t index) { (*static_cast<Part*>(context))(index); };
    if (count < 2 || !Begin(count, call, &part)) {
      for (uint32_t index = 0; index < count; ++index) part(index);
      return;
    }
    End();
  }

  // Ends the threads. Run() does all by itself afterwards.
  void Close();

 private:
  using Call = void (*)(void* context, uint32_t index);

  // Makes parts available and wakes helpers; false when that does not pay.
  [[nodiscard]] bool Begin(uint32_t count, Call call, void* context);
  // Does what is left and waits for what helpers have taken.
  void End();
  [[nodiscard]] bool Start();
  void Help() noexcept;
  // Takes parts of the round of `ticket` until none is left. Returns how many.
  uint32_t TakeParts(uint64_t ticket) noexcept;

  const int most_;
  std::vector<pthread_t> threads_;
  // Rounds in a row in which no helper came in time, and how many to go without them now.
  uint32_t unhelped_ = 0;
  uint32_t to_skip_ = 0;
  uint32_t count_ = 0;
  uint32_t round_ = 0;

  // Written before a round is opened, stable while one of its parts is taken and not done.
  Call call_ = nullptr;
  void* context_ = nullptr;
  // Round (upper half), parts of it (16 bits), the next to take (16 bits): what is taken is taken
  // from the round that was meant, however late a helper comes.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  // What helpers sleep on: the round, or what ends them.
  alignas(64) std::atomic<uint32_t> call_out_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> closing_{false};
};

}  // namespace gateway

#endif  // NATIVE_IO_HELPER_TEAM_H_
