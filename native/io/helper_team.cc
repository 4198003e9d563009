#include "native/io/helper_team.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "native/io/polling.h"

namespace gateway {
namespace {

// A round often follows the one before within microseconds: sleeping and being woken take longer.
constexpr uint64_t kAwakeNs = 10'000;
// How long the loop thread waits for a helper's last part before it sleeps, too.
constexpr uint64_t kWaitNs = 50'000;
constexpr uint32_t kFreeRounds = 8;
constexpr uint32_t kMostSkipped = 64;

void Sleep(std::atomic<uint32_t>& word, uint32_t value) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void Wake(std::atomic<uint32_t>& word, int count) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Looks until `word` is no longer `value`, for at most `limit_ns`. Whether it has changed.
bool Watch(const std::atomic<uint32_t>& word, uint32_t value, uint64_t limit_ns) noexcept {
  const uint64_t end = MonotonicNs() + limit_ns;
  do {
    for (int i = 0; i < 16; ++i) {
      if (word.load() != value) return true;
      Relax();
    }
  } while (MonotonicNs() < end);
  return word.load() != value;
}

int FurtherProcessors() noexcept {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) - 1 : 0;
}

constexpr uint64_t Ticket(uint32_t round, uint32_t count) {
  return uint64_t{round} << 32 | uint64_t{count} << 16;
}
constexpr uint32_t RoundOf(uint64_t ticket) { return static_cast<uint32_t>(ticket >> 32); }
constexpr uint32_t CountOf(uint64_t ticket) { return ticket >> 16 & 0xffff; }
constexpr uint32_t NextOf(uint64_t ticket) { return ticket & 0xffff; }

}  // namespace

HelperTeam::HelperTeam() : HelperTeam(std::min(FurtherProcessors(), kMostHelpers)) {}

HelperTeam::~HelperTeam() { Close(); }

bool HelperTeam::Begin(uint32_t count, Call call, void* context) {
  if (to_skip_ > 0) {
    --to_skip_;
    return false;
  }
  if (closing_.load() || count > kMostParts || !Start()) return false;
  call_ = call;
  context_ = context;
  count_ = count;
  done_.store(0);
  ticket_.store(Ticket(++round_, count));
  call_out_.store(round_);
  // Sequentially consistent with Help(): who goes to sleep has counted itself or sees the round.
  if (sleeping_.load() > 0) Wake(call_out_, static_cast<int>(count) - 1);
  return true;
}

void HelperTeam::End() {
  const uint32_t own = TakeParts(ticket_.load());
  unhelped_ = own == count_ ? unhelped_ + 1 : 0;
  if (unhelped_ > kFreeRounds) {
    to_skip_ = std::min(1u << std::min(unhelped_ - kFreeRounds, 6u), kMostSkipped);
  }
  for (uint32_t done = done_.load(); done != count_; done = done_.load()) {
    if (!Watch(done_, done, kWaitNs)) Sleep(done_, done);
  }
}

uint32_t HelperTeam::TakeParts(uint64_t ticket) noexcept {
  const uint32_t round = RoundOf(ticket);
  uint32_t taken = 0;
  while (RoundOf(ticket) == round && NextOf(ticket) < CountOf(ticket)) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
    // The round cannot end before this part is counted, so `call_` and `context_` are its own.
    call_(context_, NextOf(ticket));
    ++taken;
    done_.fetch_add(1);
    ticket = ticket_.load();
  }
  return taken;
}

// Signals stay with the threads of Node.
bool HelperTeam::Start() {
  if (!threads_.empty() || most_ <= 0) return !threads_.empty();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto body = [](void* team) -> void* {
    static_cast<HelperTeam*>(team)->Help();
    return nullptr;
  };
  for (int i = 0; i < most_; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, body, this) == 0) threads_.push_back(thread);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return !threads_.empty();
}

void HelperTeam::Help() noexcept {
  uint32_t seen = 0;
  while (!closing_.load()) {
    if (!Watch(call_out_, seen, kAwakeNs)) {
      sleeping_.fetch_add(1);
      if (!closing_.load()) Sleep(call_out_, seen);
      sleeping_.fetch_sub(1);
    }
    seen = call_out_.load();
    if (TakeParts(ticket_.load()) > 0) Wake(done_, 1);
  }
}

void HelperTeam::Close() {
  closing_.store(true);
  call_out_.fetch_add(1);
  Wake(call_out_, kMostHelpers);
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  threads_.clear();
}

}  // namespace gateway
