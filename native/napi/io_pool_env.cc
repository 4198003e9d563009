// One IoPool per Node environment, on its event loop.
#include <node_api.h>
#include <uv.h>

#include <memory>
#include <mutex>
#include <unordered_map>

#include "native/io/io_pool.h"

namespace gateway {
namespace {

class EnvPool final : public IoPoolHost {
 public:
  explicit EnvPool(napi_env env) : env_(env), pool_(*this) {
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
  uv_async_t async_;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  IoPool pool_;
};

struct Registry {
  std::mutex mutex;
  std::unordered_map<napi_env, std::unique_ptr<EnvPool>> pools;
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
      registry().pools.erase(closed->env_);
    }
    napi_remove_async_cleanup_hook(last);
  });
}

}  // namespace

IoPool& IoPool::ForEnv(napi_env env) {
  std::lock_guard lock(registry().mutex);
  std::unique_ptr<EnvPool>& pool = registry().pools[env];
  if (!pool) pool = std::make_unique<EnvPool>(env);
  return pool->pool();
}

}  // namespace gateway
