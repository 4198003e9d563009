// File handles, parents, files without names, inode flags.
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "native/napi/posix_binding.h"
#include "native/posix/file_handles.h"
#include "native/posix/files.h"
#include "native/posix/inode_flags.h"
#include "native/posix/process.h"

namespace gateway {
namespace {

// descriptorLimit(): how many this process may have
napi_value DescriptorLimit(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const double limit = posix::DescriptorLimit();
  return call.Return(limit < 0x7fffffff ? static_cast<int>(limit) : 0x7fffffff);
}

napi_value ReturnHandle(napi_env env, const PosixCall& call, const char* name) {
  char handle[posix::kMaxHandleBytes];
  const int length = posix::NameToHandle(call.Fd(0), name, handle);
  if (length < 0) return call.Return(length);
  napi_value result = nullptr;
  napi_create_string_latin1(env, handle, static_cast<size_t>(length), &result);
  return result;
}

// handleOf(fd): bytes as latin1, or -errno
napi_value HandleOf(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return ReturnHandle(env, call, "");
}

// handleAt(directory, name): bytes as latin1, or -errno
napi_value HandleAt(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const ByteString<NAME_MAX> name(call, 1);
  return name.bad() ? call.Return(-EINVAL) : ReturnHandle(env, call, name.get());
}

// openHandle(mount, handle, flags): fd
napi_value OpenHandle(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  char handle[posix::kMaxHandleBytes + 1];
  size_t length = 0;
  napi_get_value_string_latin1(env, call.value(1), handle, sizeof(handle), &length);
  return call.Return(posix::OpenHandle(call.Fd(0), {handle, length}, call.Int32(2)));
}

// openParent(directory, root): fd, O_PATH
napi_value OpenParent(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::OpenParent(call.Fd(0), call.Fd(1), call.attributes()));
}

// openTemporary(directory, flags, mode, uid, gid, group): fd
napi_value OpenTemporary(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::OpenTemporary(call.Fd(0), call.Int32(1), call.Uint32(2) & 07777,
                                          call.Caller(3), call.attributes()));
}

// fileSystemUuid(fd, into): 0
napi_value FileSystemUuid(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const std::span<std::byte> into = call.Bytes(1);
  if (into.size() != 16) return call.Return(-EINVAL);
  return call.Return(posix::FileSystemUuid(call.Fd(0), into.first<16>()));
}

// ioctl(fd, command, input, into, uid, gid, group): bytes stored
napi_value Ioctl(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::InodeFlagsIoctl(call.Fd(0), call.Uint32(1), call.Bytes(2),
                                            call.Bytes(3), call.Caller(4)));
}

// write(fd, from, offset, killSuidgid): bytes written; for what does not wait
napi_value Write(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(
      static_cast<int>(posix::Write(call.Fd(0), call.Bytes(1), call.Int64(2), call.Int32(3) == 1)));
}

// lock(fd): 0
napi_value Lock(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::Lock(call.Fd(0)));
}

// medium(fd): 3 remote, 2 memory, 1 disk, 0 other
napi_value MediumOf(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(static_cast<int>(posix::MediumOf(call.Fd(0))));
}

constexpr PosixFunction kFunctions[] = {
    {"descriptorLimit", DescriptorLimit},
    {"handleOf", HandleOf},
    {"handleAt", HandleAt},
    {"openHandle", OpenHandle},
    {"fileSystemUuid", FileSystemUuid},
    {"openParent", OpenParent},
    {"openTemporary", OpenTemporary},
    {"ioctl", Ioctl},
    {"write", Write},
    {"lock", Lock},
    {"medium", MediumOf},
};

}  // namespace

std::span<const PosixFunction> PosixHandleFunctions() { return kFunctions; }

}  // namespace gateway
