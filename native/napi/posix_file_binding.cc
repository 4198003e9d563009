// Descriptors: opening, closing, truncating, seeking, listing.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "native/napi/posix_binding.h"
#include "native/posix/files.h"
#include "native/posix/process.h"

namespace gateway {
namespace {

using Name = ByteString<255>;
using Path = ByteString<4095>;

// openRoot(path): fd
napi_value OpenRoot(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Path path(call, 0);
  if (path.bad()) return call.Return(-ENOENT);
  return call.Return(posix::OpenRoot(path.get(), call.attributes()));
}

// openPath(directory, name): fd, O_PATH
napi_value OpenPath(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (!posix::IsComponent(name.view())) return call.Return(-EINVAL);
  return call.Return(posix::OpenPath(call.Fd(0), name.get(), call.attributes()));
}

// openPathCached(directory, name): as openPath
napi_value OpenPathCached(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (!posix::IsComponent(name.view())) return call.Return(-EINVAL);
  return call.Return(posix::OpenPathCached(call.Fd(0), name.get(), call.attributes()));
}

// reopen(fd, flags, killSuidgid): fd
napi_value Reopen(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::Reopen(call.Fd(0), call.Int32(1), call.Int32(2) == 1));
}

// reopenPath(fd): fd, O_PATH
napi_value ReopenPath(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::Reopen(call.Fd(0), O_PATH));
}

// openCreate(directory, name, flags, mode, uid, gid, group): fd
napi_value OpenCreate(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (!posix::IsComponent(name.view())) return call.Return(-EINVAL);
  return call.Return(posix::OpenCreate(call.Fd(0), name.get(), call.Int32(2),
                                       call.Uint32(3) & 07777, call.Caller(4), call.attributes()));
}

// close(fd), for descriptors that are no bound files
napi_value Close(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const int fd = call.Fd(0);
  call.state().directories.Forget(fd);
  return call.Return(::close(fd) == 0 ? 0 : -errno);
}

// truncate(fd, size, isOpenForWriting, killSuidgid)
napi_value Truncate(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const bool kill = call.Int32(3) == 1;
  return call.Return(call.Int32(2) == 1 ? posix::TruncateOpen(call.Fd(0), call.BigInt(1), kill)
                                        : posix::Truncate(call.Fd(0), call.BigInt(1), kill));
}

// seek(fd, offset, whence): bigint, or -errno as a number
napi_value Seek(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const off_t offset = lseek(call.Fd(0), call.BigInt(1), call.Int32(2));
  if (offset < 0) return call.Return(-errno);
  napi_value result = nullptr;
  napi_create_bigint_int64(env, offset, &result);
  return result;
}

// readDirectory(fd, offsetLow, offsetHigh, plus, into, capacity): bytes used; notes[0] of `notes`
// is the count of entries with attributes.
napi_value ReadDirectory(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  PosixState& state = call.state();
  const std::span<std::byte> bytes = call.Bytes(4);
  const uint64_t offset = (uint64_t{call.Uint32(2)} << 32) | call.Uint32(1);
  const posix::DirectoryReader::Request request = {
      .fd = call.Fd(0),
      .offset = static_cast<int64_t>(offset),
      .plus = call.Int32(3) == 1,
      .into = bytes.first(std::min<size_t>(bytes.size(), call.Uint32(5))),
      .notes = {state.notes + 1, PosixState::kNotes - 1},
      .helpers = &state.pool(env).helpers(),
  };
  const int used = state.directories.Read(request);
  state.notes[0].position = state.directories.notes();
  return call.Return(used);
}

constexpr PosixFunction kFunctions[] = {
    {"openRoot", OpenRoot},
    {"openPath", OpenPath},
    {"openPathCached", OpenPathCached},
    {"reopen", Reopen},
    {"reopenPath", ReopenPath},
    {"openCreate", OpenCreate},
    {"close", Close},
    {"truncate", Truncate},
    {"seek", Seek},
    {"readDirectory", ReadDirectory},
};

}  // namespace

std::span<const PosixFunction> PosixFileFunctions() { return kFunctions; }

}  // namespace gateway
