// exports.httpConnection: HTTP exchanges on threads of their own, bodies into files. Types:
// src/native/http-connection.ts.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "native/io/http_connection.h"
#include "native/io/io_pool.h"
#include "native/napi/addon.h"
#include "native/napi/arguments.h"
#include "native/napi/posix_job.h"

namespace gateway {
namespace {

using std::chrono::milliseconds;

constexpr napi_type_tag kConnectionTag = {0x2c7e5d1f0a9b4e63, 0xb1f4d08c6a3e9752};

// What the JavaScript object holds; jobs hold the connection, too.
struct ConnectionBox {
  IoPool& pool;
  std::shared_ptr<HttpConnection> connection;
};

ConnectionBox* Unwrap(napi_env env, napi_value object) {
  bool tagged = false;
  void* data = nullptr;
  napi_check_object_type_tag(env, object, &kConnectionTag, &tagged);
  return tagged && napi_unwrap(env, object, &data) == napi_ok ? static_cast<ConnectionBox*>(data)
                                                              : nullptr;
}

std::string StringArgument(const Arguments& arguments, size_t index) {
  size_t length = 0;
  napi_get_value_string_latin1(arguments.env(), arguments.value(index), nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_latin1(arguments.env(), arguments.value(index), text.data(), length + 1,
                               &length);
  return text;
}

std::span<uint32_t> WordsArgument(const Arguments& arguments, size_t index) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(arguments.env(), arguments.value(index), &type, &length, &data,
                               nullptr, nullptr) != napi_ok ||
      type != napi_uint32_array) {
    return {};
  }
  return {static_cast<uint32_t*>(data), length};
}

napi_value Rejected(napi_env env, int error) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_value value = nullptr;
  napi_create_promise(env, &deferred, &promise);
  napi_create_int32(env, error, &value);
  napi_resolve_deferred(env, deferred, value);
  return promise;
}

// create(): a connection that is not open yet
napi_value Create(napi_env env, napi_callback_info) {
  IoPool& pool = IoPool::ForNetwork(env);
  auto box = std::make_unique<ConnectionBox>(
      ConnectionBox{pool, std::make_shared<HttpConnection>(pool.closing())});
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, &kConnectionTag);
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<ConnectionBox> owned(static_cast<ConnectionBox*>(data));
  };
  if (napi_wrap(env, object, box.get(), finalize, nullptr, nullptr) == napi_ok) {
    [[maybe_unused]] auto* held_by_object = box.release();
  }
  return object;
}

// Resolves to the head of the reply, or to an errno.
class ExchangeJob final : public IoJob {
 public:
  ExchangeJob(napi_env env, napi_deferred deferred, std::shared_ptr<HttpConnection> connection,
              const SocketAddress& address, std::string request, milliseconds timeout)
      : env_(env),
        deferred_(deferred),
        connection_(std::move(connection)),
        address_(address),
        request_(std::move(request)),
        timeout_(timeout) {}

  void Run() noexcept override {
    error_ = connection_->Exchange(address_, request_, timeout_, &head_);
  }

  void Complete() noexcept override {
    napi_handle_scope scope = nullptr;
    napi_value value = nullptr;
    napi_open_handle_scope(env_, &scope);
    if (error_ != 0) {
      napi_create_int32(env_, error_, &value);
    } else {
      napi_create_string_latin1(env_, head_.data(), head_.size(), &value);
    }
    napi_resolve_deferred(env_, deferred_, value);
    napi_close_handle_scope(env_, scope);
  }

 private:
  const napi_env env_;
  const napi_deferred deferred_;
  const std::shared_ptr<HttpConnection> connection_;
  const SocketAddress address_;
  const std::string request_;
  const milliseconds timeout_;
  std::string head_;
  int error_ = 0;
};

// exchange(connection, address, port, request, timeoutMs): head or errno
napi_value Exchange(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = Unwrap(env, arguments.value(0));
  if (box == nullptr) return Rejected(env, EBADF);
  const SocketAddress address = SocketAddress::Parse(StringArgument(arguments, 1),
                                                     static_cast<uint16_t>(arguments.Uint32(2)));
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  box->pool.Submit(std::make_unique<ExchangeJob>(env, deferred, box->connection, address,
                                                 StringArgument(arguments, 3),
                                                 milliseconds(arguments.Uint32(4))));
  return promise;
}

template <typename Work>
napi_value SubmitWork(napi_env env, IoPool& pool, Work work) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  pool.Submit(std::make_unique<PromiseJob<Work>>(env, deferred, std::move(work)));
  return promise;
}

// What ReceiveToFile() works on while JavaScript may go on: the descriptor and the array are kept.
struct Destination {
  UniqueFd fd;
  KeptValue kept;
  FileRange range;
};

// receiveToFile(connection, fd, position, length, blockBytes, progress, count, timeoutMs): 0, an
// errno, or -errno of the file
napi_value ReceiveToFile(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = Unwrap(env, arguments.value(0));
  if (box == nullptr) return Rejected(env, EBADF);
  int64_t position = -1;
  napi_get_value_int64(env, arguments.value(2), &position);
  Destination to{Duplicate(arguments.Int32(1)), KeptValue(env, arguments.value(5)), {}};
  to.range = {.fd = to.fd.get(),
              .position = static_cast<uint64_t>(position),
              .length = arguments.Uint32(3),
              .block_bytes = arguments.Uint32(4),
              .progress = WordsArgument(arguments, 5)};
  const uint32_t count = arguments.Uint32(6);
  if (position < 0 || !to.range.IsSound() || count > to.range.length - to.range.progress[0]) {
    return Rejected(env, -EINVAL);
  }
  const milliseconds timeout(arguments.Uint32(7));
  // What came with the head is little, and a thread would take longer to wake than to write it.
  if (count <= box->connection->buffered()) {
    return Rejected(env, box->connection->ReceiveToFile(to.range, count, timeout));
  }
  return SubmitWork(
      env, box->pool,
      [connection = box->connection, to = std::move(to), count, timeout]() noexcept -> int64_t {
        return connection->ReceiveToFile(to.range, count, timeout);
      });
}

// receive(connection, into, timeoutMs): 0 or an errno
napi_value Receive(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = Unwrap(env, arguments.value(0));
  if (box == nullptr) return Rejected(env, EBADF);
  return SubmitWork(env, box->pool,
                    [connection = box->connection, kept = KeptValue(env, arguments.value(1)),
                     into = arguments.Bytes(1),
                     timeout = milliseconds(arguments.Uint32(2))]() noexcept -> int64_t {
                      return connection->Receive(into, timeout);
                    });
}

// close(connection): ends what it waits for; the descriptor goes when no job has it any more
napi_value Close(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (ConnectionBox* const box = Unwrap(env, arguments.value(0)); box != nullptr) {
    box->connection->Shut();
    box->connection = std::make_shared<HttpConnection>(box->pool.closing());
    box->connection->Shut();
  }
  return nullptr;
}

}  // namespace

void RegisterHttpConnection(Napi::Env environment, Napi::Object exports) {
  const napi_env env = environment;
  napi_value object = nullptr;
  napi_create_object(env, &object);
  DefineFunction(env, object, "create", Create);
  DefineFunction(env, object, "exchange", Exchange);
  DefineFunction(env, object, "receiveToFile", ReceiveToFile);
  DefineFunction(env, object, "receive", Receive);
  DefineFunction(env, object, "close", Close);
  napi_set_named_property(env, exports, "httpConnection", object);
}

}  // namespace gateway
