// TLS over sockets that do not block, by the OpenSSL that Node has in it.
#ifndef NATIVE_IO_TLS_SESSION_H_
#define NATIVE_IO_TLS_SESSION_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

// OpenSSL's, so that this header needs none of its headers.
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;
struct x509_store_ctx_st;

namespace gateway {

struct TlsDeleter {
  void operator()(ssl_ctx_st* context) const noexcept;
  void operator()(ssl_session_st* session) const noexcept;
  void operator()(ssl_st* session) const noexcept;
};

// What the sessions with one server share. For any thread.
class TlsContext {
 public:
  // False where the addon was built without OpenSSL's headers: then there is nothing here to use.
  [[nodiscard]] static bool IsAvailable() noexcept;

  // Servers have to prove that they are `host`, a name or an address, by a certificate of one of
  // the authorities `trusted` (PEM), unless `verifies` is false.
  TlsContext(std::string trusted, std::string host, bool verifies);

  // Made by who asks first, as more than a hundred authorities take milliseconds. Null without
  // memory.
  [[nodiscard]] ssl_ctx_st* Context();
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  [[nodiscard]] bool verifies() const noexcept { return verifies_; }

  // What the next session may go on with, if anything: handshakes are shorter then.
  [[nodiscard]] std::unique_ptr<ssl_session_st, TlsDeleter> CopyLast();
  void Keep(std::unique_ptr<ssl_session_st, TlsDeleter> session);

 private:
  std::string trusted_;
  const std::string host_;
  const bool verifies_;
  std::once_flag once_;
  std::unique_ptr<ssl_ctx_st, TlsDeleter> context_;
  std::mutex mutex_;
  std::unique_ptr<ssl_session_st, TlsDeleter> last_;
};

// The client's end of one connection; one thread at a time. Calls that may have to wait are those
// of a socket: -1 with errno, EAGAIN until there is what events() says.
class TlsSession {
 public:
  // `fd` is the caller's and outlives it.
  TlsSession(std::shared_ptr<TlsContext> shared, int fd);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // @returns 0 when the server has proved who it is. EPROTO: failure() says why not.
  [[nodiscard]] int Handshake() noexcept;
  // @returns 0 at the end of what the server sends
  [[nodiscard]] ssize_t Receive(std::span<std::byte> into) noexcept;
  [[nodiscard]] ssize_t Send(std::span<const std::byte> bytes) noexcept;
  // Whether the server has neither sent anything that was not received nor ended the connection.
  [[nodiscard]] bool IsIdle() noexcept;

  // For poll().
  [[nodiscard]] short events() const noexcept { return events_; }
  // What was wrong with a handshake, in one line without its end.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  static int OnCertificate(int is_valid, x509_store_ctx_st* store) noexcept;
  // Of a call that returned `result`: -1 with errno, or 0 where the server has ended the
  // connection.
  ssize_t Explain(int result) noexcept;
  void KeepSession() noexcept;

  const std::shared_ptr<TlsContext> shared_;
  // Null without memory.
  std::unique_ptr<ssl_st, TlsDeleter> ssl_;
  short events_ = 0;
  bool kept_ = false;
  std::string failure_;
};

}  // namespace gateway

#endif  // NATIVE_IO_TLS_SESSION_H_
