// The IoPools of each Node environment, on its event loop.
#include <node_api.h>
#include <uv.h>

#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "native/io/io_pool.h"

namespace gateway {
namespace {

// Exchanges at a time are bounded by whoever makes them.
constexpr int kNetworkThreads = 256;

using Pools = std::unordered_map<napi_env, std::unique_ptr<class EnvPool>>;

class EnvPool final : public IoPoolHost {
 public:
  // `home` is where it is kept, until the environment ends.
  EnvPool(napi_env env, Pools& home, int threads) : env_(env), home_(home), pool_(*this, threads) {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env, &loop);
    uv_async_init(loop, &async_,
                  [](uv_async_t* async) { static_cast<EnvPool*>(async->data)->DrainInScope(); });
    async_.data = this;
    uv_unref(reinterpret_cast<uv_handle_t*>(&async_));
    napi_value name = nullptr;
    napi_create_string_utf8(env, "virtiofs-gateway:io", NAPI_AUTO_LENGTH, &name);
    napi_async_init(env, nullptr, name, &context_);
    napi_add_async_cleanup_hook(env, &EnvPool::CleanUp, this, &hook_);
  }

  IoPool& pool() { return pool_; }

  void Wake() noexcept override { uv_async_send(&async_); }

  void SetActive(bool active) noexcept override {
    auto* handle = reinterpret_cast<uv_handle_t*>(&async_);
    active ? uv_ref(handle) : uv_unref(handle);
  }

 private:
  // Promise reactions and ticks run when the callback scope closes.
  void DrainInScope() {
    napi_handle_scope handles = nullptr;
    napi_callback_scope callbacks = nullptr;
    napi_value resource = nullptr;
    napi_open_handle_scope(env_, &handles);
    napi_create_object(env_, &resource);
    napi_open_callback_scope(env_, resource, context_, &callbacks);
    pool_.DrainCompletions();
    napi_close_callback_scope(env_, callbacks);
    napi_close_handle_scope(env_, handles);
  }

  static void CleanUp(napi_async_cleanup_hook_handle hook, void* self);

  const napi_env env_;
  Pools& home_;
  uv_async_t async_;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  IoPool pool_;
};

struct Registry {
  std::mutex mutex;
  Pools files;
  Pools network;
};

// Never destroyed: environments may end after static destructors began.
Registry& registry() {
  static Registry& instance = *std::make_unique<Registry>().release();
  return instance;
}

// Ends the threads at once; the object goes when libuv has let go of its handle.
void EnvPool::CleanUp(napi_async_cleanup_hook_handle hook, void* data) {
  auto* self = static_cast<EnvPool*>(data);
  self->pool_.Close();
  napi_async_destroy(self->env_, self->context_);
  self->hook_ = hook;
  uv_close(reinterpret_cast<uv_handle_t*>(&self->async_), [](uv_handle_t* handle) {
    auto* closed = static_cast<EnvPool*>(handle->data);
    const napi_async_cleanup_hook_handle last = closed->hook_;
    {
      std::lock_guard lock(registry().mutex);
      closed->home_.erase(closed->env_);
    }
    napi_remove_async_cleanup_hook(last);
  });
}

IoPool& FindOrMake(napi_env env, Pools& pools, int threads) {
  const std::lock_guard lock(registry().mutex);
  std::unique_ptr<EnvPool>& pool = pools[env];
  if (!pool) pool = std::make_unique<EnvPool>(env, pools, threads);
  return pool->pool();
}

}  // namespace

IoPool& IoPool::ForEnv(napi_env env) { return FindOrMake(env, registry().files, kDefaultThreads); }

IoPool& IoPool::ForNetwork(napi_env env) {
  return FindOrMake(env, registry().network, kNetworkThreads);
}

}  // namespace gateway
