#include "native/napi/addon.h"

namespace gateway {
namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  RegisterArena(env, exports);
  RegisterChecksum(env, exports);
  RegisterHttpConnection(env, exports);
  RegisterLane(env, exports);
  RegisterPartialFile(env, exports);
  RegisterPosix(env, exports);
  RegisterSocket(env, exports);
  return exports;
}

}  // namespace
}  // namespace gateway

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return gateway::Init(env, exports);
}

NODE_API_MODULE(virtiofs_gateway, InitAddon)
