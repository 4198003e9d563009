// One connection to an HTTP server, for bodies that go straight to a file or come from memory. What
// a request says and what a reply means is not known here: whoever uses it writes heads and reads
// them.
#ifndef NATIVE_IO_HTTP_CONNECTION_H_
#define NATIVE_IO_HTTP_CONNECTION_H_

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "native/io/tls_session.h"
#include "native/io/unique_fd.h"

namespace gateway {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  // Of an address in numbers, IPv4 or IPv6; `length` is 0 where it is none.
  [[nodiscard]] static SocketAddress Parse(const std::string& host, uint16_t port) noexcept;
};

// A range of a file that is being filled from its beginning on. `progress[0]` counts the bytes that
// are there, and the CRC-32C of each block so far follows.
struct FileRange {
  int fd = -1;
  uint64_t position = 0;
  uint32_t length = 0;
  uint32_t block_bytes = 0;
  std::span<uint32_t> progress;

  // Whether `progress` has room for all blocks of the range, and no byte is behind it.
  [[nodiscard]] bool IsSound() const noexcept;
};

// One thread at a time exchanges and receives; Shut() is for any. Calls return 0 or an errno.
class HttpConnection {
 public:
  // A head that is longer is none.
  static constexpr size_t kMaxHeadBytes = 32 * 1024;

  // Waiting ends soon after `stopping` is set. Without `tls` there is none.
  explicit HttpConnection(const std::atomic<bool>& stopping,
                          std::shared_ptr<TlsContext> tls = nullptr) noexcept
      : stopping_(stopping), tls_context_(std::move(tls)) {}
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Sends a request and its body, and waits for the head of its reply, connecting first where there
  // is no connection or the other side has ended it. `timeout` is for each step that waits. A
  // server may answer before it has all of the body.
  [[nodiscard]] int Exchange(const SocketAddress& address, std::string_view request,
                             std::span<const std::byte> body, std::chrono::milliseconds timeout,
                             std::string* head);

  // Whether anything of the request was sent in the last exchange.
  [[nodiscard]] bool was_sent() const noexcept { return was_sent_; }

  // What was wrong with TLS where an exchange ended with EPROTO before anything was sent.
  [[nodiscard]] std::string tls_failure() const { return tls_ ? tls_->failure() : std::string(); }

  // Bytes of the body that came with the head and were not received.
  [[nodiscard]] size_t buffered() const noexcept { return filled_ - taken_; }

  // Receives `count` bytes of the body into `range`, behind what is there. A negative result is
  // -errno of the file.
  [[nodiscard]] int ReceiveToFile(const FileRange& range, uint32_t count,
                                  std::chrono::milliseconds timeout) noexcept;
  [[nodiscard]] int Receive(std::span<std::byte> into, std::chrono::milliseconds timeout) noexcept;
  // Receives a body that comes in chunks; EMSGSIZE where it is longer than `most`.
  [[nodiscard]] int ReceiveChunked(size_t most, std::chrono::milliseconds timeout,
                                   std::string* body);

  // Ends whatever waits, now and later, with ECANCELED.
  void Shut() noexcept;

 private:
  [[nodiscard]] bool IsIdle() noexcept;
  [[nodiscard]] bool HasInput() noexcept;
  [[nodiscard]] int Connect(const SocketAddress& address, std::chrono::milliseconds timeout);
  [[nodiscard]] int BeginTls(std::chrono::milliseconds timeout);
  [[nodiscard]] int SendAll(std::span<const std::byte> bytes,
                            std::chrono::milliseconds timeout) noexcept;
  // Ends early, and well, when there is an answer.
  [[nodiscard]] int SendBody(std::span<const std::byte> bytes,
                             std::chrono::milliseconds timeout) noexcept;
  // One attempt.
  [[nodiscard]] ssize_t Send(std::span<const std::byte> bytes) noexcept;
  [[nodiscard]] int ReceiveHead(std::chrono::milliseconds timeout, std::string* head);
  [[nodiscard]] int ReceiveLine(std::chrono::milliseconds timeout, std::string* line);
  [[nodiscard]] size_t TakeBuffered(std::span<std::byte> into) noexcept;
  // From the socket: at least one byte, and no more than there is room for.
  [[nodiscard]] int ReceiveSome(std::span<std::byte> into, std::chrono::milliseconds timeout,
                                size_t* count) noexcept;
  void SetLowWater(int bytes) noexcept;
  [[nodiscard]] int Wait(short events, std::chrono::milliseconds timeout) const noexcept;
  // What the last call would have had to wait for: for `event`, unless TLS knows better.
  [[nodiscard]] short Awaited(short event) const noexcept {
    return tls_ != nullptr ? tls_->events() : event;
  }
  // What a call that failed says.
  [[nodiscard]] int Failure(int error) const noexcept { return shut_.load() ? ECANCELED : error; }

  const std::atomic<bool>& stopping_;
  std::atomic<bool> shut_{false};
  // Guards the descriptor against Shut() while it changes.
  std::mutex mutex_;
  UniqueFd fd_;
  const std::shared_ptr<TlsContext> tls_context_;
  // Over `fd_`, which it does not outlive.
  std::unique_ptr<TlsSession> tls_;
  // A head and what came with it.
  std::unique_ptr<std::byte[]> buffer_;
  size_t filled_ = 0;
  size_t taken_ = 0;
  // Bytes that make the socket readable.
  int low_water_ = 1;
  bool was_sent_ = false;
  // The server waits for more of a body that is not sent any more.
  bool is_cut_ = false;
};

}  // namespace gateway

#endif  // NATIVE_IO_HTTP_CONNECTION_H_
