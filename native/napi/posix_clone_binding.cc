// Copies of files, at once or on the I/O pool.
#include <cerrno>
#include <string>

#include "native/napi/posix_job.h"
#include "native/posix/clone.h"
#include "native/posix/files.h"

namespace gateway {
namespace {

using Name = ByteString<255>;

// More takes so long that others have to wait.
constexpr int64_t kQuickBytes = 256 * 1024;

// Arguments from `index` on: size, skip, keep, xattr, value.
class CloneArguments {
 public:
  CloneArguments(const PosixCall& call, size_t index, bool sync)
      : size_(call.Int64(index)),
        skip_(Text(call, index + 1)),
        keep_(Text(call, index + 2)),
        xattr_(Text(call, index + 3)),
        sync_(sync) {
    const std::span<std::byte> value = call.Bytes(index + 4);
    value_.assign(reinterpret_cast<const char*>(value.data()), value.size());
  }

  [[nodiscard]] posix::CloneOptions options() const noexcept {
    return {.size = size_,
            .skip = skip_,
            .keep = keep_,
            .xattr = xattr_.c_str(),
            .value = std::as_bytes(std::span(value_)),
            .sync = sync_};
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

// clone(source, directory, size, skip, keep, xattr, value): fd
napi_value Clone(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const CloneArguments arguments(call, 2, false);
  return call.Return(posix::Clone(call.Fd(0), call.Fd(1), arguments.options(), call.attributes()));
}

// cloneInto(source, work, directory, name, namesApart, size, skip, keep, xattr, value): fd
napi_value CloneInto(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 3);
  if (!posix::IsComponent(name.view())) return call.Return(-EINVAL);
  const CloneArguments arguments(call, 5, false);
  const posix::CloneLimits limits{.most = kQuickBytes, .has_names_apart = call.Int32(4) == 1};
  return call.Return(posix::CloneInto(call.Fd(0), call.Fd(1), arguments.options(), limits,
                                      call.Fd(2), name.get(), call.attributes()));
}

// cloneSlowly(source, directory, size, skip, keep, xattr, value, sync, attr): fd
napi_value CloneSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [source = Duplicate(call.Fd(0)), directory = Duplicate(call.Fd(1)),
                 arguments = CloneArguments(call, 2, call.Int32(7) == 1),
                 kept = KeptValue(env, call.value(8)), out = call.Bytes(8)]() noexcept -> int64_t {
                  if (out.size() < posix::kAttrWords * sizeof(uint32_t)) return -EINVAL;
                  auto* const words = reinterpret_cast<uint32_t*>(out.data());
                  return posix::Clone(source.get(), directory.get(), arguments.options(),
                                      posix::AttrWords(words, posix::kAttrWords));
                });
}

constexpr PosixFunction kFunctions[] = {
    {"clone", Clone},
    {"cloneInto", CloneInto},
    {"cloneSlowly", CloneSlowly},
};

}  // namespace

std::span<const PosixFunction> PosixCloneFunctions() { return kFunctions; }

}  // namespace gateway
