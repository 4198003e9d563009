// Sockets, descriptors and readiness for src/vhost-user.
#include <errno.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <memory>
#include <string>

#include "native/napi/addon.h"
#include "native/napi/arguments.h"
#include "native/vhost/unix_socket.h"

namespace gateway {
namespace {

std::string PathArgument(const Arguments& arguments, size_t index) {
  size_t length = 0;
  napi_get_value_string_utf8(arguments.env(), arguments.value(index), nullptr, 0, &length);
  std::string path(length, '\0');
  napi_get_value_string_utf8(arguments.env(), arguments.value(index), path.data(), length + 1,
                             &length);
  return path;
}

// listenUnix(path, group): fd or -errno
napi_value ListenUnixBinding(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnInt32(ListenUnix(PathArgument(arguments, 0), arguments.Int32(1)));
}

// lockFile(path): fd or -errno
napi_value LockFileBinding(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnInt32(LockFile(PathArgument(arguments, 0)));
}

// accept(listener): fd or -errno
napi_value AcceptBinding(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnInt32(Accept(arguments.Int32(0)));
}

// receive(socket, into, fds: Int32Array(1 + n)): bytes or -errno; fds[0] is the count, -1 when
// there were more than n
napi_value ReceiveBinding(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, arguments.value(2), &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array || length < 1) {
    return arguments.ReturnInt32(-EINVAL);
  }
  auto* fds = static_cast<int*>(data);
  fds[0] = 0;
  const ssize_t received =
      Receive(arguments.Int32(0), arguments.Bytes(1), {fds + 1, length - 1}, &fds[0]);
  return arguments.ReturnInt32(static_cast<int32_t>(received));
}

// send(socket, bytes): bytes or -errno
napi_value SendBinding(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnInt32(static_cast<int32_t>(Send(arguments.Int32(0), arguments.Bytes(1))));
}

// closeDescriptor(fd)
napi_value CloseBinding(napi_env env, napi_callback_info info) {
  const int fd = Arguments(env, info).Int32(0);
  if (fd >= 0) {
    close(fd);
  }
  return nullptr;
}

// A descriptor whose readiness calls a JavaScript function.
class Watch {
 public:
  static napi_value Create(napi_env env, napi_callback_info info);

 private:
  explicit Watch(napi_env env) : env_(env) {}

  static napi_value Stop(napi_env env, napi_callback_info info);
  void OnReady();
  void StopPolling();

  napi_env env_;
  uv_poll_t poll_;
  napi_async_context context_ = nullptr;
  napi_ref callback_ = nullptr;
  bool stopped_ = false;
};

// watch(fd, onReadable): stop function, or errno when the descriptor cannot be polled. The
// descriptor must stay open until it is stopped.
napi_value Watch::Create(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  std::unique_ptr<Watch> watch(new Watch(env));
  if (const int error = uv_poll_init(loop, &watch->poll_, arguments.Int32(0)); error != 0) {
    return arguments.ReturnInt32(-error);
  }
  watch->poll_.data = watch.get();
  napi_value name = nullptr;
  napi_create_string_utf8(env, "virtiofs-gateway:socket", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, nullptr, name, &watch->context_);
  napi_create_reference(env, arguments.value(1), 1, &watch->callback_);
  uv_poll_start(&watch->poll_, UV_READABLE | UV_DISCONNECT,
                [](uv_poll_t* poll, int, int) { static_cast<Watch*>(poll->data)->OnReady(); });
  napi_value stop = nullptr;
  // The watch belongs to libuv until its handle is closed.
  napi_create_function(env, "stop", NAPI_AUTO_LENGTH, Stop, watch.release(), &stop);
  return stop;
}

void Watch::OnReady() {
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env_, &scope);
  napi_value callback = nullptr;
  napi_value receiver = nullptr;
  napi_get_reference_value(env_, callback_, &callback);
  napi_get_global(env_, &receiver);
  if (napi_make_callback(env_, context_, receiver, callback, 0, nullptr, nullptr) ==
      napi_pending_exception) {
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env_, &exception);
    napi_fatal_exception(env_, exception);
  }
  napi_close_handle_scope(env_, scope);
}

napi_value Watch::Stop(napi_env env, napi_callback_info info) {
  static_cast<Watch*>(Arguments(env, info).data())->StopPolling();
  return nullptr;
}

void Watch::StopPolling() {
  if (stopped_) {
    return;
  }
  stopped_ = true;
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    const std::unique_ptr<Watch> watch(static_cast<Watch*>(handle->data));
    napi_delete_reference(watch->env_, watch->callback_);
    napi_async_destroy(watch->env_, watch->context_);
  });
}

}  // namespace

void RegisterSocket(Napi::Env env, Napi::Object exports) {
  DefineFunction(env, exports, "listenUnix", ListenUnixBinding);
  DefineFunction(env, exports, "lockFile", LockFileBinding);
  DefineFunction(env, exports, "accept", AcceptBinding);
  DefineFunction(env, exports, "receive", ReceiveBinding);
  DefineFunction(env, exports, "send", SendBinding);
  DefineFunction(env, exports, "closeDescriptor", CloseBinding);
  DefineFunction(env, exports, "watch", Watch::Create);
}

}  // namespace gateway
