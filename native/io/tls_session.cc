#include "native/io/tls_session.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#if __has_include(<openssl/ssl.h>)

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace gateway {
namespace {

// Several records at a time: each read of the socket is a system call.
constexpr size_t kReadAheadBytes = 64 * 1024;
// Of what a certificate says; it is the server's.
constexpr size_t kMaxShownBytes = 300;
constexpr unsigned char kProtocols[] = "\x08http/1.1";

bool IsAddress(const std::string& host) noexcept {
  in6_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

struct BioDeleter {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};

struct CertificateDeleter {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

// As Node does it: what comes behind a certificate that is none is not looked at.
void AddAll(X509_STORE* store, const std::string& pem) {
  const std::unique_ptr<BIO, BioDeleter> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return;
  for (;;) {
    const std::unique_ptr<X509, CertificateDeleter> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    X509_STORE_add_cert(store, certificate.get());
  }
  ERR_clear_error();
}

// What `print` writes, in one line.
template <typename Print>
std::string Printed(Print print) {
  const std::unique_ptr<BIO, BioDeleter> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr) return {};
  print(bio.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  if (size <= 0) return {};
  std::string text(data, std::min(static_cast<size_t>(size), kMaxShownBytes));
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

// Whom a certificate is for and who says so.
std::string Describe(X509* certificate) {
  const auto print_name = [](const X509_NAME* name) {
    return [name](BIO* bio) { X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE); };
  };
  const int names = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
  const std::string whom =
      names < 0 ? Printed(print_name(X509_get_subject_name(certificate))) : Printed([&](BIO* bio) {
        X509V3_EXT_print(bio, X509_get_ext(certificate, names), 0, 0);
      });
  return "one for " + whom + " by " + Printed(print_name(X509_get_issuer_name(certificate)));
}

// The server is asked for the certificate of `host`, and no other will do.
bool Expect(SSL* ssl, const std::string& host) {
  if (host.empty()) return false;
  if (IsAddress(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  // As Node does it: "*" stands for a whole label and nothing less.
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

void TlsDeleter::operator()(ssl_ctx_st* context) const noexcept { SSL_CTX_free(context); }
void TlsDeleter::operator()(ssl_session_st* session) const noexcept { SSL_SESSION_free(session); }

void TlsDeleter::operator()(ssl_st* session) const noexcept {
  // Nobody is told: the socket is closed with it. Without this its tickets would count as void.
  SSL_set_shutdown(session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(session);
  ERR_clear_error();
}

bool TlsContext::IsAvailable() noexcept { return true; }

TlsContext::TlsContext(std::string trusted, std::string host, bool verifies)
    : trusted_(std::move(trusted)), host_(std::move(host)), verifies_(verifies) {}

ssl_ctx_st* TlsContext::Context() {
  std::call_once(once_, [this] {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr) return;
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    AddAll(SSL_CTX_get_cert_store(context_.get()), trusted_);
    trusted_ = {};
  });
  return context_.get();
}

std::unique_ptr<ssl_session_st, TlsDeleter> TlsContext::CopyLast() {
  const std::lock_guard lock(mutex_);
  return std::unique_ptr<ssl_session_st, TlsDeleter>(
      last_ == nullptr ? nullptr : SSL_SESSION_dup(last_.get()));
}

void TlsContext::Keep(std::unique_ptr<ssl_session_st, TlsDeleter> session) {
  const std::lock_guard lock(mutex_);
  last_ = std::move(session);
}

TlsSession::TlsSession(std::shared_ptr<TlsContext> shared, int fd) : shared_(std::move(shared)) {
  SSL_CTX* const context = shared_->Context();
  if (context == nullptr) return;
  std::unique_ptr<ssl_st, TlsDeleter> made(SSL_new(context));
  SSL* const ssl = made.get();
  // Without its name nobody would look whose certificate it is.
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1 || !Expect(ssl, shared_->host())) return;
  SSL_set_connect_state(ssl);
  SSL_set_app_data(ssl, this);
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                        SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(ssl, 1);
  SSL_set_default_read_buffer_len(ssl, kReadAheadBytes);
  SSL_set_alpn_protos(ssl, kProtocols, sizeof(kProtocols) - 1);
  SSL_set_verify(ssl, shared_->verifies() ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                 &TlsSession::OnCertificate);
  if (const auto last = shared_->CopyLast()) SSL_set_session(ssl, last.get());
  ssl_ = std::move(made);
}

// Called for each certificate of the chain; what is wrong with the first is what is told.
int TlsSession::OnCertificate(int is_valid, x509_store_ctx_st* store) noexcept {
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const self = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  if (is_valid == 1 || !self->shared_->verifies()) return 1;
  X509* const certificate = X509_STORE_CTX_get0_cert(store);
  self->failure_ = "expected a trusted certificate for " + self->shared_->host() + ", got " +
                   (certificate == nullptr ? "none" : Describe(certificate)) + ": " +
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
  return 0;
}

int TlsSession::Handshake() noexcept {
  if (ssl_ == nullptr) {
    errno = ENOMEM;
    return -1;
  }
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return 0;
  const unsigned long reason = ERR_peek_error();
  if (Explain(result) == 0) errno = ECONNRESET;
  if (errno == EPROTO && failure_.empty()) {
    const char* const words = ERR_reason_error_string(reason);
    failure_ = std::string("no handshake: ") + (words == nullptr ? "error" : words);
  }
  return -1;
}

ssize_t TlsSession::Receive(std::span<std::byte> into) noexcept {
  ERR_clear_error();
  size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
  if (result != 1) return Explain(result);
  KeepSession();
  return static_cast<ssize_t>(count);
}

ssize_t TlsSession::Send(std::span<const std::byte> bytes) noexcept {
  ERR_clear_error();
  size_t count = 0;
  const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count);
  if (result == 1) return static_cast<ssize_t>(count);
  if (Explain(result) == 0) errno = EPIPE;
  return -1;
}

bool TlsSession::IsIdle() noexcept {
  if (ssl_ == nullptr) return false;
  ERR_clear_error();
  std::byte byte;
  size_t count = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, sizeof(byte), &count);
  return result != 1 && Explain(result) == -1 && errno == EAGAIN;
}

ssize_t TlsSession::Explain(int result) noexcept {
  const int of_system = errno;
  const int kind = SSL_get_error(ssl_.get(), result);
  const bool is_cut = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  ERR_clear_error();
  switch (kind) {
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_WANT_READ:
      events_ = POLLIN;
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_WANT_WRITE:
      events_ = POLLOUT;
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_SYSCALL:
      errno = of_system == 0 ? ECONNRESET : of_system;
      return -1;
    default:
      errno = is_cut ? ECONNRESET : EPROTO;
      return -1;
  }
}

// Tickets of TLS 1.3 come behind the handshake, with or before the first data.
void TlsSession::KeepSession() noexcept {
  if (std::exchange(kept_, true)) return;
  std::unique_ptr<ssl_session_st, TlsDeleter> session(SSL_get1_session(ssl_.get()));
  if (session != nullptr && SSL_SESSION_is_resumable(session.get()) == 1) {
    shared_->Keep(std::move(session));
  }
}

}  // namespace gateway

#else

namespace gateway {

void TlsDeleter::operator()(ssl_ctx_st*) const noexcept {}
void TlsDeleter::operator()(ssl_session_st*) const noexcept {}
void TlsDeleter::operator()(ssl_st*) const noexcept {}

bool TlsContext::IsAvailable() noexcept { return false; }
ssl_ctx_st* TlsContext::Context() { return nullptr; }
TlsContext::TlsContext(std::string, std::string host, bool verifies)
    : host_(std::move(host)), verifies_(verifies) {}

TlsSession::TlsSession(std::shared_ptr<TlsContext> shared, int) : shared_(std::move(shared)) {}
int TlsSession::Handshake() noexcept {
  errno = EPROTO;
  return -1;
}
ssize_t TlsSession::Receive(std::span<std::byte>) noexcept { return 0; }
ssize_t TlsSession::Send(std::span<const std::byte>) noexcept { return 0; }
bool TlsSession::IsIdle() noexcept { return false; }

}  // namespace gateway

#endif
