// exports.httpConnection: HTTP exchanges on threads of their own, bodies into files. Types:
// src/native/http-connection.ts.
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "native/io/http_connection.h"
#include "native/io/io_pool.h"
#include "native/io/tls_session.h"
#include "native/napi/addon.h"
#include "native/napi/arguments.h"
#include "native/napi/promise_job.h"

namespace gateway {
namespace {

using std::chrono::milliseconds;

constexpr napi_type_tag kConnectionTag = {0x2c7e5d1f0a9b4e63, 0xb1f4d08c6a3e9752};
constexpr napi_type_tag kTlsTag = {0x9d41b6e80c2f4a17, 0xa3c86f5712de4b90};

// What JavaScript's connection holds; jobs hold the native one, too.
struct ConnectionBox {
  IoPool& pool;
  std::shared_ptr<TlsContext> tls;
  std::shared_ptr<HttpConnection> connection;

  void Renew() { connection = std::make_shared<HttpConnection>(pool.closing(), tls); }
};

struct TlsBox {
  std::shared_ptr<TlsContext> context;
};

template <typename Box>
napi_value Wrap(napi_env env, const napi_type_tag& tag, std::unique_ptr<Box> box) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, &tag);
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<Box> owned(static_cast<Box*>(data));
  };
  if (napi_wrap(env, object, box.get(), finalize, nullptr, nullptr) == napi_ok) {
    [[maybe_unused]] auto* held_by_object = box.release();
  }
  return object;
}

template <typename Box>
Box* Unwrap(napi_env env, const napi_type_tag& tag, napi_value object) {
  napi_valuetype type = napi_undefined;
  bool tagged = false;
  void* data = nullptr;
  // Looking for a tag on what is no object would throw.
  if (napi_typeof(env, object, &type) != napi_ok || type != napi_object) return nullptr;
  napi_check_object_type_tag(env, object, &tag, &tagged);
  return tagged && napi_unwrap(env, object, &data) == napi_ok ? static_cast<Box*>(data) : nullptr;
}

ConnectionBox* ConnectionArgument(const Arguments& arguments) {
  return Unwrap<ConnectionBox>(arguments.env(), kConnectionTag, arguments.value(0));
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

// createTls(trusted, host, verifies): what connections to one server share, or undefined where
// there is no TLS
napi_value CreateTls(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (!TlsContext::IsAvailable()) return nullptr;
  return Wrap(env, kTlsTag,
              std::make_unique<TlsBox>(TlsBox{std::make_shared<TlsContext>(
                  StringArgument(arguments, 0), StringArgument(arguments, 1), arguments.Bool(2))}));
}

// create(tls): a connection that is not open yet; without TLS where that is undefined
napi_value Create(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  auto box = std::make_unique<ConnectionBox>(ConnectionBox{IoPool::ForNetwork(env), {}, {}});
  if (TlsBox* const tls = Unwrap<TlsBox>(env, kTlsTag, arguments.value(0)); tls != nullptr) {
    box->tls = tls->context;
  }
  box->Renew();
  return Wrap(env, kConnectionTag, std::move(box));
}

// exchange(connection, address, port, request, body, timeoutMs): head or errno
napi_value Exchange(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = ConnectionArgument(arguments);
  if (box == nullptr) return Resolved(env, EBADF);
  const SocketAddress address = SocketAddress::Parse(StringArgument(arguments, 1),
                                                     static_cast<uint16_t>(arguments.Uint32(2)));
  return Submit(env, box->pool,
                [connection = box->connection, address, request = StringArgument(arguments, 3),
                 kept = KeptValue(env, arguments.value(4)), body = arguments.Bytes(4),
                 timeout = milliseconds(arguments.Uint32(5))]() noexcept -> TextOrError {
                  std::string head;
                  const int error = connection->Exchange(address, request, body, timeout, &head);
                  return error == 0 ? TextOrError(std::move(head)) : TextOrError(int64_t{error});
                });
}

// wasSent(connection): whether the last exchange came so far
napi_value WasSent(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = ConnectionArgument(arguments);
  napi_value value = nullptr;
  napi_get_boolean(env, box != nullptr && box->connection->was_sent(), &value);
  return value;
}

// tlsFailure(connection): why the last exchange ended with EPROTO
napi_value TlsFailure(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = ConnectionArgument(arguments);
  const std::string text = box == nullptr ? "" : box->connection->tls_failure();
  napi_value value = nullptr;
  napi_create_string_latin1(env, text.data(), text.size(), &value);
  return value;
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
  ConnectionBox* const box = ConnectionArgument(arguments);
  if (box == nullptr) return Resolved(env, EBADF);
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
    return Resolved(env, -EINVAL);
  }
  const milliseconds timeout(arguments.Uint32(7));
  // What came with the head is little, and a thread would take longer to wake than to write it.
  if (count <= box->connection->buffered()) {
    return Resolved(env, box->connection->ReceiveToFile(to.range, count, timeout));
  }
  return Submit(
      env, box->pool,
      [connection = box->connection, to = std::move(to), count, timeout]() noexcept -> int64_t {
        return connection->ReceiveToFile(to.range, count, timeout);
      });
}

// receive(connection, into, timeoutMs): 0 or an errno
napi_value Receive(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = ConnectionArgument(arguments);
  if (box == nullptr) return Resolved(env, EBADF);
  return Submit(env, box->pool,
                [connection = box->connection, kept = KeptValue(env, arguments.value(1)),
                 into = arguments.Bytes(1),
                 timeout = milliseconds(arguments.Uint32(2))]() noexcept -> int64_t {
                  return connection->Receive(into, timeout);
                });
}

// receiveChunked(connection, most, timeoutMs): bytes or an errno
napi_value ReceiveChunked(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ConnectionBox* const box = ConnectionArgument(arguments);
  if (box == nullptr) return Resolved(env, EBADF);
  return Submit(env, box->pool,
                [connection = box->connection, most = arguments.Uint32(1),
                 timeout = milliseconds(arguments.Uint32(2))]() noexcept -> TextOrError {
                  std::string body;
                  const int error = connection->ReceiveChunked(most, timeout, &body);
                  return error == 0 ? TextOrError(std::move(body)) : TextOrError(int64_t{error});
                });
}

// close(connection): ends what it waits for; the descriptor goes when no job has it any more
napi_value Close(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (ConnectionBox* const box = ConnectionArgument(arguments); box != nullptr) {
    box->connection->Shut();
    box->Renew();
    box->connection->Shut();
  }
  return nullptr;
}

}  // namespace

void RegisterHttpConnection(Napi::Env environment, Napi::Object exports) {
  const napi_env env = environment;
  napi_value object = nullptr;
  napi_create_object(env, &object);
  DefineFunction(env, object, "createTls", CreateTls);
  DefineFunction(env, object, "create", Create);
  DefineFunction(env, object, "exchange", Exchange);
  DefineFunction(env, object, "wasSent", WasSent);
  DefineFunction(env, object, "tlsFailure", TlsFailure);
  DefineFunction(env, object, "receiveToFile", ReceiveToFile);
  DefineFunction(env, object, "receive", Receive);
  DefineFunction(env, object, "receiveChunked", ReceiveChunked);
  DefineFunction(env, object, "close", Close);
  napi_set_named_property(env, exports, "httpConnection", object);
}

}  // namespace gateway
