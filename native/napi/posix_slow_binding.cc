// Names, attributes and listings of file systems that may take long: the calls of the other parts,
// on the I/O pool. Where those leave results in arrays of the binding, these take an array of the
// caller's, which must be left alone until the promise settles. All run as the server's user.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "native/napi/posix_job.h"
#include "native/posix/directory_reader.h"
#include "native/posix/files.h"
#include "native/posix/xattrs.h"

namespace gateway {
namespace {

using Name = ByteString<255>;

posix::AttrWords Words(std::span<std::byte> bytes) {
  return posix::AttrWords(reinterpret_cast<uint32_t*>(bytes.data()), posix::kAttrWords);
}

bool HoldsAttributes(std::span<std::byte> bytes) {
  return bytes.size() >= posix::kAttrWords * sizeof(uint32_t);
}

// statSlowly(fd, attr)
napi_value StatSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [fd = Duplicate(call.Fd(0)), kept = KeptValue(env, call.value(1)),
                 out = call.Bytes(1)]() noexcept -> int64_t {
                  return HoldsAttributes(out) ? posix::StatFd(fd.get(), Words(out)) : -EINVAL;
                });
}

// openPathSlowly(directory, name, attr): fd, O_PATH
napi_value OpenPathSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  return Submit(call,
                [directory = Duplicate(call.Fd(0)), kept = KeptValue(env, call.value(2)),
                 text = std::string(name.view()), out = call.Bytes(2)]() noexcept -> int64_t {
                  if (!posix::IsComponent(text) || !HoldsAttributes(out)) return -EINVAL;
                  return posix::OpenPath(directory.get(), text.c_str(), Words(out));
                });
}

// reopenSlowly(fd, flags, killSuidgid): fd
napi_value ReopenSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [fd = Duplicate(call.Fd(0)), flags = call.Int32(1),
                 kill = call.Int32(2) == 1]() noexcept -> int64_t {
                  return posix::Reopen(fd.get(), flags, kill);
                });
}

// getXattrSlowly(fd, name, into): length
napi_value GetXattrSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  return Submit(call,
                [fd = Duplicate(call.Fd(0)), kept = KeptValue(env, call.value(2)),
                 text = std::string(name.bad() ? std::string_view() : name.view()),
                 into = call.Bytes(2)]() noexcept -> int64_t {
                  return text.empty() ? -ERANGE : posix::GetXattr(fd.get(), text.c_str(), into);
                });
}

// readDirectorySlowly(fd, offsetLow, offsetHigh, plus, into, capacity, notes): bytes used
napi_value ReadDirectorySlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const std::span<std::byte> into = call.Bytes(4);
  const uint64_t offset = (uint64_t{call.Uint32(2)} << 32) | call.Uint32(1);
  return Submit(
      call,
      [fd = Duplicate(call.Fd(0)), offset = static_cast<int64_t>(offset), plus = call.Int32(3) == 1,
       kept = KeptValue(env, call.value(4)),
       into = into.first(std::min<size_t>(into.size(), call.Uint32(5))),
       kept_notes = KeptValue(env, call.value(6)), bytes = call.Bytes(6)]() noexcept -> int64_t {
        const size_t count = bytes.size() / sizeof(posix::EntryNote);
        if (count < 2) return -EINVAL;
        auto* const notes = reinterpret_cast<posix::EntryNote*>(bytes.data());
        const auto reader = std::make_unique<posix::DirectoryReader>();
        const int used = reader->Read({.fd = fd.get(),
                                       .offset = offset,
                                       .plus = plus,
                                       .into = into,
                                       .notes = {notes + 1, count - 1}});
        notes[0].position = reader->notes();
        return used;
      });
}

constexpr PosixFunction kFunctions[] = {
    {"statSlowly", StatSlowly},
    {"openPathSlowly", OpenPathSlowly},
    {"reopenSlowly", ReopenSlowly},
    {"getXattrSlowly", GetXattrSlowly},
    {"readDirectorySlowly", ReadDirectorySlowly},
};

}  // namespace

std::span<const PosixFunction> PosixSlowFunctions() { return kFunctions; }

}  // namespace gateway
