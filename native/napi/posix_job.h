// Work for the I/O pool whose result is a promise.
#ifndef NATIVE_NAPI_POSIX_JOB_H_
#define NATIVE_NAPI_POSIX_JOB_H_

#include <fcntl.h>

#include <memory>
#include <utility>

#include "native/io/unique_fd.h"
#include "native/napi/posix_binding.h"

namespace gateway {

// The descriptor that a job uses: the same file even if the guest releases it meanwhile.
inline UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// Runs `Work`, a function object that returns >= 0 or -errno, and resolves a promise with that.
template <typename Work>
class PromiseJob final : public IoJob {
 public:
  PromiseJob(napi_env env, napi_deferred deferred, Work work)
      : env_(env), deferred_(deferred), work_(std::move(work)) {}

  void Run() noexcept override { result_ = work_(); }

  void Complete() noexcept override {
    napi_handle_scope scope = nullptr;
    napi_value value = nullptr;
    napi_open_handle_scope(env_, &scope);
    napi_create_int64(env_, result_, &value);
    napi_resolve_deferred(env_, deferred_, value);
    napi_close_handle_scope(env_, scope);
  }

 private:
  const napi_env env_;
  const napi_deferred deferred_;
  Work work_;
  int64_t result_ = 0;
};

template <typename Work>
napi_value Submit(const PosixCall& call, Work work) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(call.env(), &deferred, &promise);
  IoPool& pool = call.state().pool(call.env());
  pool.Submit(std::make_unique<PromiseJob<Work>>(call.env(), deferred, std::move(work)));
  return promise;
}

// Keeps a buffer of JavaScript's until a job is done. Made and destroyed on the loop thread.
class KeptValue {
 public:
  KeptValue(napi_env env, napi_value value) : env_(env) {
    napi_create_reference(env, value, 1, &reference_);
  }
  KeptValue(KeptValue&& other) noexcept
      : env_(other.env_), reference_(std::exchange(other.reference_, nullptr)) {}
  ~KeptValue() {
    if (reference_ != nullptr) napi_delete_reference(env_, reference_);
  }

 private:
  napi_env env_;
  napi_ref reference_ = nullptr;
};

}  // namespace gateway

#endif  // NATIVE_NAPI_POSIX_JOB_H_
