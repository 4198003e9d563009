#include "native/io/http_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "native/io/crc.h"

namespace gateway {
namespace {

using std::chrono::milliseconds;

// Small enough to stay in a processor's cache between the socket, the checksum and the file.
constexpr size_t kPieceBytes = 64 * 1024;
// A thread that waits for more of a body wakes up when there is so much.
constexpr int kLowWaterBytes = 48 * 1024;
// How soon a thread that waits notices that its pool ends.
constexpr milliseconds kSlice{250};
// A body that goes in one piece with its head: the server wakes up once.
constexpr size_t kSmallBytes = 16 * 1024;
// Of the lines between chunks.
constexpr size_t kMaxLineBytes = 4096;
constexpr std::string_view kEndOfHead = "\r\n\r\n";

// Of this thread: none is needed while nobody receives on it.
std::span<std::byte> PieceBuffer() {
  thread_local const std::unique_ptr<std::byte[]> buffer =
      std::make_unique<std::byte[]>(kPieceBytes);
  return {buffer.get(), kPieceBytes};
}

int WriteAll(int fd, std::span<const std::byte> bytes, uint64_t position) noexcept {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : ENOSPC;
    bytes = bytes.subspan(static_cast<size_t>(count));
    position += static_cast<uint64_t>(count);
  }
  return 0;
}

// Writes the next bytes of a range and counts them. @returns errno of the file
int Append(const FileRange& range, std::span<const std::byte> bytes) noexcept {
  const int error = WriteAll(range.fd, bytes, range.position + range.progress[0]);
  if (error != 0) return error;
  while (!bytes.empty()) {
    const uint32_t at = range.progress[0];
    const size_t in_block =
        std::min<size_t>(bytes.size(), range.block_bytes - at % range.block_bytes);
    uint32_t& sum = range.progress[1 + at / range.block_bytes];
    sum = Crc32c(bytes.first(in_block), sum);
    range.progress[0] += static_cast<uint32_t>(in_block);
    bytes = bytes.subspan(in_block);
  }
  return 0;
}

}  // namespace

SocketAddress SocketAddress::Parse(const std::string& host, uint16_t port) noexcept {
  SocketAddress address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length = sizeof(*v4);
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.length = sizeof(*v6);
  }
  return address;
}

bool FileRange::IsSound() const noexcept {
  if (block_bytes == 0 || progress.empty() || progress[0] > length) return false;
  const uint64_t blocks = (uint64_t{length} + block_bytes - 1) / block_bytes;
  return progress.size() - 1 >= blocks;
}

int HttpConnection::Exchange(const SocketAddress& address, std::string_view request,
                             std::span<const std::byte> body, milliseconds timeout,
                             std::string* head) {
  was_sent_ = false;
  if (!IsIdle()) {
    if (const int error = Connect(address, timeout); error != 0) return error;
  }
  was_sent_ = true;
  std::string joined;
  if (!body.empty() && body.size() <= kSmallBytes) {
    joined.reserve(request.size() + body.size());
    joined.append(request).append(reinterpret_cast<const char*>(body.data()), body.size());
    request = joined;
    body = {};
  }
  if (const int error = SendAll(std::as_bytes(std::span(request)), timeout); error != 0) {
    return error;
  }
  const int error_of_body = SendBody(body, timeout);
  // Who refuses a body may have ended the connection when the answer was sent.
  const bool may_be_answered = error_of_body == EPIPE || error_of_body == ECONNRESET;
  if (error_of_body != 0 && !may_be_answered) return error_of_body;
  const int error = ReceiveHead(timeout, head);
  return error != 0 && error_of_body != 0 ? error_of_body : error;
}

// Neither ended by the other side, nor with anything left of another exchange.
bool HttpConnection::IsIdle() noexcept {
  if (!fd_.valid() || is_cut_ || buffered() > 0) return false;
  return (tls_context_ == nullptr || tls_ != nullptr) && !HasInput();
}

// Bytes, or the end of the connection.
bool HttpConnection::HasInput() noexcept {
  if (tls_ != nullptr) return !tls_->IsIdle();
  std::byte byte;
  return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
         (errno != EAGAIN && errno != EWOULDBLOCK);
}

int HttpConnection::Connect(const SocketAddress& address, milliseconds timeout) {
  if (address.length == 0) return EINVAL;
  UniqueFd opened(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!opened.valid()) return errno;
  const int on = 1;
  setsockopt(opened.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  tls_.reset();
  {
    const std::lock_guard lock(mutex_);
    fd_ = std::move(opened);
  }
  filled_ = taken_ = 0;
  is_cut_ = false;
  low_water_ = 1;
  if (shut_.load()) return ECANCELED;
  const auto* const to = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(fd_.get(), to, address.length) != 0) {
    if (errno != EINPROGRESS) return errno;
    if (const int error = Wait(POLLOUT, timeout); error != 0) return error;
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return error;
  }
  return tls_context_ == nullptr ? 0 : BeginTls(timeout);
}

int HttpConnection::BeginTls(milliseconds timeout) {
  tls_ = std::make_unique<TlsSession>(tls_context_, fd_.get());
  while (tls_->Handshake() != 0) {
    if (errno != EAGAIN) return Failure(errno);
    if (const int error = Wait(Awaited(POLLIN), timeout); error != 0) return error;
  }
  return 0;
}

ssize_t HttpConnection::Send(std::span<const std::byte> bytes) noexcept {
  return tls_ != nullptr ? tls_->Send(bytes)
                         : send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

int HttpConnection::SendAll(std::span<const std::byte> bytes, milliseconds timeout) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = Send(bytes);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (const int error = Wait(Awaited(POLLOUT), timeout); error != 0) return error;
    } else if (errno != EINTR) {
      return Failure(errno);
    }
  }
  return 0;
}

int HttpConnection::SendBody(std::span<const std::byte> bytes, milliseconds timeout) noexcept {
  is_cut_ = !bytes.empty();
  while (!bytes.empty()) {
    const ssize_t sent = Send(bytes);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (const int error = Wait(Awaited(POLLOUT) | POLLIN, timeout); error != 0) return error;
      if (HasInput()) return 0;
    } else if (errno != EINTR) {
      return Failure(errno);
    }
  }
  is_cut_ = false;
  return 0;
}

int HttpConnection::ReceiveHead(milliseconds timeout, std::string* head) {
  if (buffer_ == nullptr) buffer_ = std::make_unique<std::byte[]>(kMaxHeadBytes);
  const std::span<std::byte> buffer(buffer_.get(), kMaxHeadBytes);
  filled_ = taken_ = 0;
  while (filled_ < buffer.size()) {
    size_t count = 0;
    const int error = ReceiveSome(buffer.subspan(filled_), timeout, &count);
    if (error != 0) return error;
    // The end may lie across two pieces.
    const size_t from = filled_ < kEndOfHead.size() ? 0 : filled_ - kEndOfHead.size();
    filled_ += count;
    const std::string_view text(reinterpret_cast<const char*>(buffer.data()), filled_);
    if (const size_t end = text.find(kEndOfHead, from); end != std::string_view::npos) {
      head->assign(text.substr(0, end));
      taken_ = end + kEndOfHead.size();
      return 0;
    }
  }
  return EMSGSIZE;
}

int HttpConnection::ReceiveSome(std::span<std::byte> into, milliseconds timeout,
                                size_t* count) noexcept {
  for (;;) {
    const ssize_t received =
        tls_ != nullptr ? tls_->Receive(into) : recv(fd_.get(), into.data(), into.size(), 0);
    if (received > 0) {
      *count = static_cast<size_t>(received);
      return 0;
    }
    if (received == 0) return Failure(ECONNRESET);
    if (errno == EAGAIN) {
      const int error = Wait(Awaited(POLLIN), timeout);
      // Less may have come than was waited for: that is taken, and not waited for again.
      if (error == ETIMEDOUT && low_water_ > 1) {
        SetLowWater(1);
        timeout = milliseconds::zero();
      } else if (error != 0) {
        return error;
      }
    } else if (errno != EINTR) {
      return Failure(errno);
    }
  }
}

void HttpConnection::SetLowWater(int bytes) noexcept {
  if (bytes == low_water_) return;
  low_water_ = bytes;
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

size_t HttpConnection::TakeBuffered(std::span<std::byte> into) noexcept {
  const size_t count = std::min(buffered(), into.size());
  if (count > 0) std::memcpy(into.data(), buffer_.get() + taken_, count);
  taken_ += count;
  return count;
}

int HttpConnection::ReceiveToFile(const FileRange& range, uint32_t count,
                                  milliseconds timeout) noexcept {
  const std::span<std::byte> buffer = PieceBuffer();
  int error = 0;
  while (count > 0 && error == 0) {
    // The end of a body is less than what is waited for, and so is what TLS has read of a record.
    SetLowWater(count > 3 * kLowWaterBytes ? kLowWaterBytes : 1);
    // Pieces end where pages and blocks do, so that the file takes whole ones.
    const size_t past = (range.position + range.progress[0]) % buffer.size();
    const size_t wanted = std::min<size_t>(count, buffer.size() - past);
    size_t filled = TakeBuffered(buffer.first(wanted));
    while (filled < wanted && error == 0) {
      size_t some = 0;
      error = ReceiveSome(buffer.subspan(filled, wanted - filled), timeout, &some);
      filled += some;
    }
    // What came before an error counts: another attempt asks for the rest.
    if (const int of_file = Append(range, buffer.first(filled)); of_file != 0) return -of_file;
    count -= static_cast<uint32_t>(filled);
  }
  return error;
}

int HttpConnection::Receive(std::span<std::byte> into, milliseconds timeout) noexcept {
  into = into.subspan(TakeBuffered(into));
  while (!into.empty()) {
    size_t count = 0;
    if (const int error = ReceiveSome(into, timeout, &count); error != 0) return error;
    into = into.subspan(count);
  }
  return 0;
}

int HttpConnection::ReceiveLine(milliseconds timeout, std::string* line) {
  line->clear();
  for (;;) {
    if (buffered() == 0) {
      filled_ = taken_ = 0;
      const std::span<std::byte> buffer(buffer_.get(), kMaxHeadBytes);
      if (const int error = ReceiveSome(buffer, timeout, &filled_); error != 0) return error;
    }
    const char next = static_cast<char>(buffer_[taken_++]);
    if (next == '\n' && line->ends_with('\r')) {
      line->pop_back();
      return 0;
    }
    line->push_back(next);
    if (line->size() > kMaxLineBytes) return EMSGSIZE;
  }
}

int HttpConnection::ReceiveChunked(size_t most, milliseconds timeout, std::string* body) {
  if (buffer_ == nullptr) return ENOTCONN;
  std::string line;
  for (;;) {
    if (const int error = ReceiveLine(timeout, &line); error != 0) return error;
    size_t size = 0;
    const char* const end = line.data() + line.size();
    const auto [rest, problem] = std::from_chars(line.data(), end, size, 16);
    if (problem != std::errc() || (rest != end && *rest != ';' && *rest != ' ')) return EPROTO;
    if (size == 0) break;
    if (size > most - body->size()) return EMSGSIZE;
    const size_t at = body->size();
    body->resize(at + size);
    const auto chunk = std::as_writable_bytes(std::span(*body).subspan(at));
    if (const int error = Receive(chunk, timeout); error != 0) return error;
    if (const int error = ReceiveLine(timeout, &line); error != 0) return error;
    if (!line.empty()) return EPROTO;
  }
  // Trailers.
  do {
    if (const int error = ReceiveLine(timeout, &line); error != 0) return error;
  } while (!line.empty());
  return 0;
}

void HttpConnection::Shut() noexcept {
  shut_.store(true);
  const std::lock_guard lock(mutex_);
  if (fd_.valid()) shutdown(fd_.get(), SHUT_RDWR);
}

int HttpConnection::Wait(short events, milliseconds timeout) const noexcept {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    if (shut_.load() || stopping_.load()) return ECANCELED;
    const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= milliseconds::zero()) return ETIMEDOUT;
    pollfd waiting{.fd = fd_.get(), .events = events, .revents = 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::min(left, kSlice).count()));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

}  // namespace gateway
