#include "native/virtio/fault_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

namespace gateway {
namespace {

struct Range {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<uintptr_t> page_size{0};
  std::atomic<bool> used{false};
  std::atomic<bool> faulted{false};
};

std::array<Range, 4096> ranges;
struct sigaction previous_action;

// Async-signal-safe: lock-free atomics and mmap, which is a plain system call.
bool ReplacePage(uintptr_t address) noexcept {
  for (Range& range : ranges) {
    const uintptr_t begin = range.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= range.end.load(std::memory_order_acquire)) {
      continue;
    }
    const uintptr_t page_size = range.page_size.load(std::memory_order_relaxed);
    void* page = reinterpret_cast<void*>(address & ~(page_size - 1));
    void* replaced = mmap(page, page_size, PROT_READ | PROT_WRITE,
                          MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    range.faulted.store(true, std::memory_order_release);
    return replaced != MAP_FAILED;
  }
  return false;
}

void OnBusError(int signal_number, siginfo_t* info, void* context) {
  if (ReplacePage(reinterpret_cast<uintptr_t>(info->si_addr))) {
    return;
  }
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal_number, info, context);
    return;
  }
  // Not guest memory: let the fault happen again with the default action.
  signal(SIGBUS, SIG_DFL);
}

void InstallHandler() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
  });
}

}  // namespace

FaultGuard::FaultGuard(void* base, size_t size, size_t page_size) noexcept {
  InstallHandler();
  for (size_t i = 0; i < ranges.size(); ++i) {
    bool expected = false;
    if (!ranges[i].used.compare_exchange_strong(expected, true)) {
      continue;
    }
    ranges[i].faulted.store(false);
    ranges[i].page_size.store(page_size);
    ranges[i].end.store(reinterpret_cast<uintptr_t>(base) + size);
    ranges[i].begin.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    index_ = static_cast<int>(i);
    return;
  }
}

FaultGuard::~FaultGuard() {
  if (index_ >= 0) {
    ranges[index_].begin.store(0);
    ranges[index_].end.store(0);
    ranges[index_].used.store(false, std::memory_order_release);
  }
}

bool FaultGuard::faulted() const noexcept {
  return index_ >= 0 && ranges[index_].faulted.load(std::memory_order_acquire);
}

}  // namespace gateway
