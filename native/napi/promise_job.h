// Work for a pool of threads whose result is a promise.
#ifndef NATIVE_NAPI_PROMISE_JOB_H_
#define NATIVE_NAPI_PROMISE_JOB_H_

#include <fcntl.h>
#include <node_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "native/io/io_pool.h"
#include "native/io/unique_fd.h"

namespace gateway {

// The descriptor that a job uses: the same file even if the guest releases it meanwhile.
inline UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// Bytes, which JavaScript gets as latin1, or an error.
using TextOrError = std::variant<int64_t, std::string>;

inline napi_value ToValue(napi_env env, int64_t number) {
  napi_value value = nullptr;
  napi_create_int64(env, number, &value);
  return value;
}

inline napi_value ToValue(napi_env env, const TextOrError& result) {
  const auto* const text = std::get_if<std::string>(&result);
  if (text == nullptr) return ToValue(env, std::get<int64_t>(result));
  napi_value value = nullptr;
  napi_create_string_latin1(env, text->data(), text->size(), &value);
  return value;
}

// Runs `Work`, a function object, and resolves a promise with what it returns.
template <typename Work>
class PromiseJob final : public IoJob {
 public:
  PromiseJob(napi_env env, napi_deferred deferred, Work work)
      : env_(env), deferred_(deferred), work_(std::move(work)) {}

  void Run() noexcept override { result_ = work_(); }

  void Complete() noexcept override {
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env_, &scope);
    napi_resolve_deferred(env_, deferred_, ToValue(env_, result_));
    napi_close_handle_scope(env_, scope);
  }

 private:
  const napi_env env_;
  const napi_deferred deferred_;
  Work work_;
  std::invoke_result_t<Work> result_{};
};

template <typename Work>
napi_value Submit(napi_env env, IoPool& pool, Work work) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  pool.Submit(std::make_unique<PromiseJob<Work>>(env, deferred, std::move(work)));
  return promise;
}

// A promise of what is known already.
inline napi_value Resolved(napi_env env, int64_t number) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  napi_resolve_deferred(env, deferred, ToValue(env, number));
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

#endif  // NATIVE_NAPI_PROMISE_JOB_H_
