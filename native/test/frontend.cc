// A small addon for tests: what a vhost-user front-end needs and JavaScript cannot do. It lends
// descriptors, mapped memory and messages with descriptors; the protocol itself is TypeScript
// (test/support/frontend). Every function returns a count or a negative errno; none throws for a
// failed system call.

#include <fcntl.h>
#include <napi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

// SCM_MAX_FD of Linux: no message can carry more.
constexpr size_t kMaxDescriptors = 253;

Napi::Value Count(Napi::Env env, int64_t count) {
  return Napi::Number::New(env, static_cast<double>(count < 0 ? -errno : count));
}

int IntArgument(const Napi::CallbackInfo& info, size_t index) {
  return info[index].ToNumber().Int32Value();
}

// memfdCreate(sizeBytes) -> fd
Napi::Value MemfdCreate(const Napi::CallbackInfo& info) {
  const int fd = memfd_create("frontend-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0 && ftruncate(fd, info[0].ToNumber().Int64Value()) < 0) {
    const int saved = errno;
    close(fd);
    errno = saved;
    return Count(info.Env(), -1);
  }
  return Count(info.Env(), fd);
}

// truncate(fd, sizeBytes) -> 0
Napi::Value Truncate(const Napi::CallbackInfo& info) {
  return Count(info.Env(), ftruncate(IntArgument(info, 0), info[1].ToNumber().Int64Value()));
}

// map(fd, sizeBytes) -> Buffer over the shared mapping, unmapped when it is collected; or -errno
Napi::Value Map(const Napi::CallbackInfo& info) {
  const auto size = static_cast<size_t>(info[1].ToNumber().Int64Value());
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, IntArgument(info, 0), 0);
  if (base == MAP_FAILED) return Count(info.Env(), -1);
  return Napi::Buffer<uint8_t>::New(info.Env(), static_cast<uint8_t*>(base), size,
                                    [size](Napi::Env, uint8_t* data) { munmap(data, size); });
}

// eventCreate() -> fd of a non-blocking eventfd
Napi::Value EventCreate(const Napi::CallbackInfo& info) {
  return Count(info.Env(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

// eventSignal(fd) -> 8
Napi::Value EventSignal(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  return Count(info.Env(), write(IntArgument(info, 0), &one, sizeof one));
}

// eventTake(fd) -> how often it was signalled since the last call
Napi::Value EventTake(const Napi::CallbackInfo& info) {
  uint64_t count = 0;
  const ssize_t got = read(IntArgument(info, 0), &count, sizeof count);
  if (got < 0 && errno == EAGAIN) return Count(info.Env(), 0);
  return Count(info.Env(), got < 0 ? -1 : static_cast<int64_t>(count));
}

// pipeCreate() -> [readFd, writeFd] or -errno
Napi::Value PipeCreate(const Napi::CallbackInfo& info) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) < 0) return Count(info.Env(), -1);
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, Napi::Number::New(info.Env(), ends[0]));
  pair.Set(1U, Napi::Number::New(info.Env(), ends[1]));
  return pair;
}

// connectUnix(path) -> fd
Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
  const std::string path = info[0].ToString().Utf8Value();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return Count(info.Env(), -1);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Count(info.Env(), -1);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    const int saved = errno;
    close(fd);
    errno = saved;
    return Count(info.Env(), -1);
  }
  return Count(info.Env(), fd);
}

// closeDescriptor(fd) -> 0
Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
  return Count(info.Env(), close(IntArgument(info, 0)));
}

// send(fd, bytes, descriptors) -> bytes sent, with the descriptors attached to the first of them
Napi::Value Send(const Napi::CallbackInfo& info) {
  const auto bytes = info[1].As<Napi::Buffer<uint8_t>>();
  const auto list = info[2].As<Napi::Array>();
  std::vector<int> descriptors;
  for (uint32_t i = 0; i < list.Length() && i < kMaxDescriptors; i++) {
    descriptors.push_back(list.Get(i).ToNumber().Int32Value());
  }
  iovec part{bytes.Data(), bytes.Length()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
  if (!descriptors.empty()) {
    const size_t length = descriptors.size() * sizeof(int);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(length);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(length);
    std::memcpy(CMSG_DATA(header), descriptors.data(), length);
  }
  return Count(info.Env(), sendmsg(IntArgument(info, 0), &message, MSG_NOSIGNAL));
}

void AppendDescriptors(msghdr* message, Napi::Array list) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      list.Set(list.Length(), Napi::Number::New(list.Env(), fd));
    }
  }
}

// receive(fd, into, start, end, timeoutMs, descriptors) -> bytes received (0: the peer closed), or
// -ETIMEDOUT; received descriptors are appended to the list and belong to the caller
Napi::Value Receive(const Napi::CallbackInfo& info) {
  const auto into = info[1].As<Napi::Buffer<uint8_t>>();
  const size_t end = std::min<size_t>(info[3].ToNumber().Uint32Value(), into.Length());
  const size_t start = std::min<size_t>(info[2].ToNumber().Uint32Value(), end);
  pollfd waiting{IntArgument(info, 0), POLLIN, 0};
  const int ready = poll(&waiting, 1, IntArgument(info, 4));
  if (ready <= 0) {
    if (ready == 0) errno = ETIMEDOUT;
    return Count(info.Env(), -1);
  }
  iovec part{into.Data() + start, end - start};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = recvmsg(waiting.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got > 0) AppendDescriptors(&message, info[5].As<Napi::Array>());
  return Count(info.Env(), got);
}

// waitReadable(fds, timeoutMs) -> bit i set when fds[i] is readable or closed; at most 31 fds
Napi::Value WaitReadable(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<pollfd> waiting;
  for (uint32_t i = 0; i < list.Length(); i++) {
    waiting.push_back({list.Get(i).ToNumber().Int32Value(), POLLIN | POLLRDHUP, 0});
  }
  if (poll(waiting.data(), waiting.size(), IntArgument(info, 1)) < 0) {
    return Count(info.Env(), -1);
  }
  uint32_t ready = 0;
  for (size_t i = 0; i < waiting.size() && i < 31; i++) {
    if (waiting[i].revents != 0) ready |= 1U << i;
  }
  return Count(info.Env(), ready);
}

// A 16-bit field of a ring: bounds and alignment are the caller's word, checked all the same.
uint16_t* RingField(const Napi::CallbackInfo& info) {
  const auto memory = info[0].As<Napi::Buffer<uint8_t>>();
  const size_t offset = info[1].ToNumber().Uint32Value();
  if (offset % 2 != 0 || offset + 2 > memory.Length()) {
    Napi::RangeError::New(info.Env(), "ring field outside memory").ThrowAsJavaScriptException();
    return nullptr;
  }
  return reinterpret_cast<uint16_t*>(memory.Data() + offset);
}

// loadAcquire16(memory, offset) -> value
Napi::Value LoadAcquire16(const Napi::CallbackInfo& info) {
  uint16_t* field = RingField(info);
  if (field == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), std::atomic_ref(*field).load(std::memory_order_acquire));
}

// storeRelease16(memory, offset, value)
Napi::Value StoreRelease16(const Napi::CallbackInfo& info) {
  uint16_t* field = RingField(info);
  if (field == nullptr) return info.Env().Undefined();
  const auto value = static_cast<uint16_t>(info[2].ToNumber().Uint32Value());
  std::atomic_ref(*field).store(value, std::memory_order_release);
  return info.Env().Undefined();
}

// fullFence(): orders a store to the ring before a load of the other side's event field
Napi::Value FullFence(const Napi::CallbackInfo& info) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("memfdCreate", MemfdCreate);
  add("truncate", Truncate);
  add("map", Map);
  add("eventCreate", EventCreate);
  add("eventSignal", EventSignal);
  add("eventTake", EventTake);
  add("pipeCreate", PipeCreate);
  add("connectUnix", ConnectUnix);
  add("closeDescriptor", CloseDescriptor);
  add("send", Send);
  add("receive", Receive);
  add("waitReadable", WaitReadable);
  add("loadAcquire16", LoadAcquire16);
  add("storeRelease16", StoreRelease16);
  add("fullFence", FullFence);
  return exports;
}

}  // namespace

NODE_API_MODULE(frontend_test, Init)
