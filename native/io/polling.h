// What a loop that polls needs: the time, and a hint to the processor.
#ifndef NATIVE_IO_POLLING_H_
#define NATIVE_IO_POLLING_H_

#include <time.h>

#include <cstdint>

namespace gateway {

[[nodiscard]] inline uint64_t MonotonicNs() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

// Leaves the processor's resources to the other thread of its core for a moment.
inline void Relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace gateway

#endif  // NATIVE_IO_POLLING_H_
