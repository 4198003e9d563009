// What each part of the addon registers on its exports.
#ifndef NATIVE_NAPI_ADDON_H_
#define NATIVE_NAPI_ADDON_H_

#include <napi.h>

#include <memory>

#include "native/io/bound_file.h"

namespace gateway {

void RegisterArena(Napi::Env env, Napi::Object exports);
void RegisterChecksum(Napi::Env env, Napi::Object exports);
void RegisterHttpConnection(Napi::Env env, Napi::Object exports);
void RegisterLane(Napi::Env env, Napi::Object exports);
void RegisterPartialFile(Napi::Env env, Napi::Object exports);
void RegisterPosix(Napi::Env env, Napi::Object exports);
void RegisterSocket(Napi::Env env, Napi::Object exports);

// The bound file for file number `file` of a JavaScript Arena object, or null with a pending
// JavaScript exception when `object` is no arena or has no such file.
std::shared_ptr<BoundFile> BindArenaFile(Napi::Env env, Napi::Value object, uint32_t file,
                                         bool append, bool keep_atime);

// The bound file behind the native object of a PartialFile, or null with a pending exception.
std::shared_ptr<BoundFile> BindPartialFile(Napi::Env env, Napi::Value object);

}  // namespace gateway

#endif  // NATIVE_NAPI_ADDON_H_
