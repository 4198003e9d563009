// exports.checksum: CRCs of data. Types: src/native/checksum.ts.
#include "native/io/crc.h"
#include "native/napi/addon.h"
#include "native/napi/arguments.h"

namespace gateway {
namespace {

napi_value CallCrc32c(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnUint32(Crc32c(arguments.Bytes(0), arguments.Uint32(1)));
}

napi_value CallCrc32cPortable(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return arguments.ReturnUint32(Crc32cPortable(arguments.Bytes(0), arguments.Uint32(1)));
}

napi_value CallCrc64Nvme(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_value result = nullptr;
  napi_create_bigint_uint64(env, Crc64Nvme(arguments.Bytes(0), arguments.Uint64(1)), &result);
  return result;
}

}  // namespace

void RegisterChecksum(Napi::Env environment, Napi::Object exports) {
  const napi_env env = environment;
  napi_value object = nullptr;
  napi_create_object(env, &object);
  DefineFunction(env, object, "crc32c", CallCrc32c);
  DefineFunction(env, object, "crc32cPortable", CallCrc32cPortable);
  DefineFunction(env, object, "crc64nvme", CallCrc64Nvme);
  napi_set_named_property(env, exports, "checksum", object);
}

}  // namespace gateway
