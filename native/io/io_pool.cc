#include "native/io/io_pool.h"

#include <signal.h>

#include <algorithm>
#include <utility>

namespace gateway {

IoPool::IoPool(IoPoolHost& host, int threads) : host_(host), max_threads_(std::max(threads, 1)) {}

IoPool::~IoPool() { Close(); }

void IoPool::set_threads(int threads) {
  std::lock_guard lock(mutex_);
  max_threads_ = std::max(threads, 1);
}

void IoPool::Submit(std::unique_ptr<IoJob> job) {
  std::unique_lock lock(mutex_);
  if (closing_) return;
  if (in_flight_++ == 0) host_.SetActive(true);
  queue_.push_back(std::move(job));
  const bool all_busy = idle_ < static_cast<int>(queue_.size());
  if (all_busy && static_cast<int>(threads_.size()) < max_threads_ && !StartThreadLocked() &&
      threads_.empty()) {
    // The machine gives no thread at all: slow is better than stuck.
    job = std::move(queue_.front());
    queue_.pop_front();
    job->Run();
    FinishLocked(std::move(job), lock);
    return;
  }
  lock.unlock();
  work_.notify_one();
}

// Signals stay with the threads of Node: a pool thread starts with all of them blocked.
bool IoPool::StartThreadLocked() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto body = [](void* pool) -> void* {
    static_cast<IoPool*>(pool)->Work();
    return nullptr;
  };
  pthread_t thread;
  const bool started = pthread_create(&thread, nullptr, body, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started) threads_.push_back(thread);
  return started;
}

void IoPool::Work() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    --idle_;
    if (closing_) return;
    std::unique_ptr<IoJob> job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    job->Run();
    lock.lock();
    FinishLocked(std::move(job), lock);
  }
}

void IoPool::FinishLocked(std::unique_ptr<IoJob> job, std::unique_lock<std::mutex>& lock) noexcept {
  done_.push_back(std::move(job));
  // Sequentially consistent with EndPolling(): one of the two sees the other and wakes the loop.
  const bool first = !has_completions_.exchange(true);
  if (first && pollers_.load() == 0) {
    lock.unlock();
    host_.Wake();
    lock.lock();
  }
}

void IoPool::EndPolling() noexcept {
  if (pollers_.fetch_sub(1) == 1 && has_completions_.load()) host_.Wake();
}

int IoPool::DrainCompletions() {
  std::vector<std::unique_ptr<IoJob>> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
    has_completions_.store(false);
  }
  for (std::unique_ptr<IoJob>& job : done) {
    job->Complete();
    job.reset();
    if (--in_flight_ == 0) host_.SetActive(false);
  }
  return static_cast<int>(done.size());
}

void IoPool::Close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  helpers_.Close();
  threads_.clear();
  queue_.clear();
  done_.clear();
  has_completions_.store(false);
  in_flight_ = 0;
}

}  // namespace gateway
