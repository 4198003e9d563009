// Copies of files, at once or on the I/O pool.
#include <cerrno>
#include <string>

#include "native/napi/posix_job.h"
#include "native/posix/clone.h"

namespace gateway {
namespace {

using Name = ByteString<255>;

// Arguments 2 to 7 of both functions: size, skip, keep, xattr, value, sync.
class CloneArguments {
 public:
  explicit CloneArguments(const PosixCall& call)
      : size_(call.Int64(2)), skip_(Text(call, 3)), keep_(Text(call, 4)), xattr_(Text(call, 5)) {
    const std::span<std::byte> value = call.Bytes(6);
    value_.assign(reinterpret_cast<const char*>(value.data()), value.size());
    sync_ = call.Int32(7) == 1;
  }

  [[nodiscard]] int Run(int source, int directory, posix::AttrWords out) const noexcept {
    return posix::Clone(source, directory,
                        {.size = size_,
                         .skip = skip_,
                         .keep = keep_,
                         .xattr = xattr_.c_str(),
                         .value = std::as_bytes(std::span(value_)),
                         .sync = sync_},
                        out);
  }

 private:
  static std::string Text(const PosixCall& call, size_t index) {
    const Name name(call, index);
    return std::string(name.bad() ? std::string_view() : name.view());
  }

  int64_t size_;
  std::string skip_, keep_, xattr_, value_;
  bool sync_;
};

// clone(source, directory, size, skip, keep, xattr, value, sync): fd
napi_value Clone(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const CloneArguments arguments(call);
  return call.Return(arguments.Run(call.Fd(0), call.Fd(1), call.attributes()));
}

// cloneSlowly(source, directory, size, skip, keep, xattr, value, sync, attr): fd
napi_value CloneSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [source = Duplicate(call.Fd(0)), directory = Duplicate(call.Fd(1)),
                 arguments = CloneArguments(call), kept = KeptValue(env, call.value(8)),
                 out = call.Bytes(8)]() noexcept -> int64_t {
                  if (out.size() < posix::kAttrWords * sizeof(uint32_t)) return -EINVAL;
                  auto* const words = reinterpret_cast<uint32_t*>(out.data());
                  return arguments.Run(source.get(), directory.get(),
                                       posix::AttrWords(words, posix::kAttrWords));
                });
}

constexpr PosixFunction kFunctions[] = {
    {"clone", Clone},
    {"cloneSlowly", CloneSlowly},
};

}  // namespace

std::span<const PosixFunction> PosixCloneFunctions() { return kFunctions; }

}  // namespace gateway
