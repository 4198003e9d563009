// Names and attributes: everything that opens no file.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cerrno>

#include "native/napi/posix_binding.h"
#include "native/posix/files.h"
#include "native/posix/process.h"
#include "native/posix/xattrs.h"

namespace gateway {
namespace {

using Name = ByteString<255>;
using Path = ByteString<4095>;

// Guests' names arrive checked; this is the last place where a mistake could still be stopped.
bool Refused(const Name& name) { return !posix::IsComponent(name.view()); }

// prepareThread(): 0 or -errno.
napi_value PrepareThread(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::PrepareThread());
}

// mayActAsOthers(): 1 or 0.
napi_value MayActAsOthers(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::MayActAsOthers() ? 1 : 0);
}

// statAt(directory, name)
napi_value StatAt(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (Refused(name)) return call.Return(-EINVAL);
  return call.Return(posix::StatAt(call.Fd(0), name.get(), call.attributes()));
}

// stat(fd)
napi_value Stat(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::StatFd(call.Fd(0), call.attributes()));
}

// statfs(fd): blocks, free, available, files, files free, block size, fragment size, name length
napi_value StatFs(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  struct statfs result;
  if (fstatfs(call.Fd(0), &result) != 0) return call.Return(-errno);
  double* const out = call.state().statistics;
  out[0] = static_cast<double>(result.f_blocks);
  out[1] = static_cast<double>(result.f_bfree);
  out[2] = static_cast<double>(result.f_bavail);
  out[3] = static_cast<double>(result.f_files);
  out[4] = static_cast<double>(result.f_ffree);
  out[5] = static_cast<double>(result.f_bsize);
  out[6] = static_cast<double>(result.f_frsize != 0 ? result.f_frsize : result.f_bsize);
  out[7] = static_cast<double>(result.f_namelen);
  return call.Return(0);
}

// makeDirectory(directory, name, mode, uid, gid, group)
napi_value MakeDirectory(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (Refused(name)) return call.Return(-EINVAL);
  return call.Return(
      posix::MakeDirectory(call.Fd(0), name.get(), call.Uint32(2) & 07777, call.Caller(3)));
}

// makeNode(directory, name, mode, device, uid, gid, group)
napi_value MakeNode(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (Refused(name)) return call.Return(-EINVAL);
  return call.Return(posix::MakeNode(call.Fd(0), name.get(), call.Uint32(2) & (S_IFMT | 07777),
                                     call.Uint32(3), call.Caller(4), call.attributes()));
}

// makeSymlink(directory, name, target, uid, gid, group)
napi_value MakeSymlink(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  const Path target(call, 2);
  if (Refused(name) || target.bad()) return call.Return(-EINVAL);
  return call.Return(
      posix::MakeSymlink(call.Fd(0), name.get(), target.get(), call.Caller(3), call.attributes()));
}

// link(fd, directory, name)
napi_value Link(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 2);
  if (Refused(name)) return call.Return(-EINVAL);
  return call.Return(posix::Link(call.Fd(0), call.Fd(1), name.get()));
}

// unlink(directory, name, isDirectory)
napi_value Unlink(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (Refused(name)) return call.Return(-EINVAL);
  return call.Return(posix::Unlink(call.Fd(0), name.get(), call.Int32(2) == 1));
}

// rename(from, name, to, newName, flags, uid, gid, group)
napi_value Rename(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  const Name new_name(call, 3);
  if (Refused(name) || Refused(new_name)) return call.Return(-EINVAL);
  return call.Return(posix::Rename(call.Fd(0), name.get(), call.Fd(2), new_name.get(),
                                   call.Uint32(4), call.Caller(5)));
}

// readLink(fd): string or -errno
napi_value ReadLink(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  char target[4096];
  const ssize_t length = posix::ReadLink(call.Fd(0), target);
  if (length < 0) return call.Return(static_cast<int>(length));
  napi_value result = nullptr;
  napi_create_string_latin1(env, target, static_cast<size_t>(length), &result);
  return result;
}

// changeMode(fd, mode)
napi_value ChangeMode(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::ChangeMode(call.Fd(0), call.Uint32(1) & 07777));
}

// changeOwner(fd, uid, gid); 2^32 - 1 keeps an id
napi_value ChangeOwner(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(posix::ChangeOwner(call.Fd(0), call.Uint32(1), call.Uint32(2)));
}

// setTimes(fd, atime, atimeNsec, mtime, mtimeNsec); nanoseconds may be UTIME_NOW or UTIME_OMIT
napi_value SetTimes(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const timespec times[2] = {{call.Int64(1), call.Int32(2)}, {call.Int64(3), call.Int32(4)}};
  return call.Return(posix::SetTimes(call.Fd(0), times));
}

// getXattr(fd, name, into)
napi_value GetXattr(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (name.bad()) return call.Return(-ERANGE);
  return call.Return(static_cast<int>(posix::GetXattr(call.Fd(0), name.get(), call.Bytes(2))));
}

// getXattrOfOpen(fd, name, into): of a descriptor that is no O_PATH one
napi_value GetXattrOfOpen(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (name.bad()) return call.Return(-ERANGE);
  return call.Return(
      static_cast<int>(posix::GetXattrOfOpen(call.Fd(0), name.get(), call.Bytes(2))));
}

// listXattr(fd, into)
napi_value ListXattr(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(static_cast<int>(posix::ListXattr(call.Fd(0), call.Bytes(1))));
}

// setXattr(fd, name, value, flags)
napi_value SetXattr(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (name.bad()) return call.Return(-ERANGE);
  return call.Return(posix::SetXattr(call.Fd(0), name.get(), call.Bytes(2), call.Int32(3)));
}

// removeXattr(fd, name)
napi_value RemoveXattr(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const Name name(call, 1);
  if (name.bad()) return call.Return(-ERANGE);
  return call.Return(posix::RemoveXattr(call.Fd(0), name.get()));
}

constexpr PosixFunction kFunctions[] = {
    {"prepareThread", PrepareThread},
    {"mayActAsOthers", MayActAsOthers},
    {"statAt", StatAt},
    {"stat", Stat},
    {"statfs", StatFs},
    {"makeDirectory", MakeDirectory},
    {"makeNode", MakeNode},
    {"makeSymlink", MakeSymlink},
    {"link", Link},
    {"unlink", Unlink},
    {"rename", Rename},
    {"readLink", ReadLink},
    {"changeMode", ChangeMode},
    {"changeOwner", ChangeOwner},
    {"setTimes", SetTimes},
    {"getXattr", GetXattr},
    {"getXattrOfOpen", GetXattrOfOpen},
    {"listXattr", ListXattr},
    {"setXattr", SetXattr},
    {"removeXattr", RemoveXattr},
};

}  // namespace

std::span<const PosixFunction> PosixMetadataFunctions() { return kFunctions; }

}  // namespace gateway
