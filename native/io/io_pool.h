// Threads for what may block: file data that is not in the page cache, fsync, fallocate and the
// like. Jobs run on a pool thread and complete on the loop thread that submitted them.
#ifndef NATIVE_IO_IO_POOL_H_
#define NATIVE_IO_IO_POOL_H_

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "native/io/helper_team.h"

// Node's opaque environment, so that this header needs no Node header.
typedef struct napi_env__* napi_env;

namespace gateway {

class IoJob {
 public:
  IoJob() = default;
  IoJob(const IoJob&) = delete;
  IoJob& operator=(const IoJob&) = delete;
  // A job that never ran (the pool was closed) is destroyed without Complete(), on the loop thread.
  virtual ~IoJob() = default;

  // On a pool thread: may block, must not touch JavaScript.
  virtual void Run() noexcept = 0;

  // On the loop thread, after Run(), inside a callback scope of the environment. Opens a handle
  // scope of its own when it makes JavaScript values. The job is destroyed right after it.
  virtual void Complete() noexcept = 0;
};

// The event loop that a pool belongs to. It outlives the pool's threads.
class IoPoolHost {
 public:
  virtual ~IoPoolHost() = default;
  // On any thread, without a lock: completions wait and nobody polls for them.
  virtual void Wake() noexcept = 0;
  // On the loop thread: from now on jobs are in flight, or none is.
  virtual void SetActive(bool active) noexcept = 0;
};

// Owned by the loop thread; every method is for that thread unless it says otherwise.
class IoPool {
 public:
  static constexpr int kDefaultThreads = 4;

  // The pool of a Node environment (main thread or worker), made at the first call and closed by
  // the environment's cleanup. Completions wake its event loop, which then opens a callback scope
  // and drains. The loop stays alive while jobs are in flight and not longer. Keep the reference:
  // it is valid as long as the environment, and the look-up takes a lock. (In
  // native/napi/io_pool_env.cc.)
  static IoPool& ForEnv(napi_env env);

  // Another pool of the environment, for what waits for other machines: as many threads as there
  // are exchanges, of which files notice nothing.
  static IoPool& ForNetwork(napi_env env);

  explicit IoPool(IoPoolHost& host, int threads = kDefaultThreads);
  IoPool(const IoPool&) = delete;
  IoPool& operator=(const IoPool&) = delete;
  // Calls Close().
  ~IoPool();

  // Threads that may exist at most; they are started one by one, when a job finds none idle.
  void set_threads(int threads);

  void Submit(std::unique_ptr<IoJob> job);

  // Threads for what does not block but takes long, with the loop thread waiting for it.
  [[nodiscard]] HelperTeam& helpers() noexcept { return helpers_; }

  // Whether DrainCompletions() has work. Lock-free, for any thread.
  [[nodiscard]] bool HasCompletions() const noexcept {
    return has_completions_.load(std::memory_order_acquire);
  }

  // Completes what has finished, and returns how many jobs that were. The caller is inside a
  // callback scope (or needs no microtasks run). A Complete() may submit again.
  int DrainCompletions();

  // Between the two no wake is sent: whoever spins looks at HasCompletions() often. What finished
  // unseen wakes the loop at EndPolling(). Calls nest.
  void BeginPolling() noexcept { pollers_.fetch_add(1); }
  void EndPolling() noexcept;

  // Set when the pool ends: jobs that wait for something else than a disk look at it now and then.
  [[nodiscard]] const std::atomic<bool>& closing() const noexcept { return closing_; }

  // Jobs that were submitted and are not completed.
  [[nodiscard]] int in_flight() const noexcept { return in_flight_; }

  // Drops jobs that have not begun, waits for those that run and ends the threads. Completions that
  // were not drained are dropped too. Nothing may be submitted afterwards.
  void Close();

 private:
  [[nodiscard]] bool StartThreadLocked();
  void Work() noexcept;
  void FinishLocked(std::unique_ptr<IoJob> job, std::unique_lock<std::mutex>& lock) noexcept;

  IoPoolHost& host_;
  HelperTeam helpers_;
  int in_flight_ = 0;
  std::atomic<int> pollers_{0};
  std::atomic<bool> has_completions_{false};
  // Changes under `mutex_`.
  std::atomic<bool> closing_{false};

  // `mutex_` guards what follows.
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::unique_ptr<IoJob>> queue_;
  std::vector<std::unique_ptr<IoJob>> done_;
  std::vector<pthread_t> threads_;
  int max_threads_;
  int idle_ = 0;
};

}  // namespace gateway

#endif  // NATIVE_IO_IO_POOL_H_
