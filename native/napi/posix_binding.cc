// exports.posix: system calls for backends that serve host files. Types: src/native/posix.ts.
#include "native/napi/posix_binding.h"

#include <memory>

#include "native/napi/addon.h"

namespace gateway {
namespace {

// A typed array on `object`, and its memory, which lives as long as the array. The property is
// read-only, and the exports are never collected while functions that write to it can be called.
template <typename T>
T* MakeArray(napi_env env, napi_value object, const char* name, napi_typedarray_type type,
             size_t bytes, size_t element_bytes) {
  void* memory = nullptr;
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  napi_create_arraybuffer(env, bytes, &memory, &buffer);
  napi_create_typedarray(env, type, bytes / element_bytes, buffer, 0, &array);
  napi_ref keep = nullptr;
  napi_create_reference(env, array, 1, &keep);  // until the environment ends
  napi_set_named_property(env, object, name, array);
  return static_cast<T*>(memory);
}

void AddFunctions(napi_env env, napi_value object, std::span<const PosixFunction> functions,
                  PosixState* state) {
  for (const PosixFunction& entry : functions) {
    DefineFunction(env, object, entry.name, entry.function, state);
  }
}

}  // namespace

void RegisterPosix(Napi::Env environment, Napi::Object exports) {
  const napi_env env = environment;
  auto owned = std::make_unique<PosixState>();
  PosixState* const state = owned.get();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  state->attr = MakeArray<uint32_t>(env, object, "attr", napi_uint32_array,
                                    posix::kAttrWords * sizeof(uint32_t), sizeof(uint32_t));
  state->statistics = MakeArray<double>(env, object, "statistics", napi_float64_array,
                                        PosixState::kStatistics * sizeof(double), sizeof(double));
  state->notes =
      MakeArray<posix::EntryNote>(env, object, "notes", napi_uint32_array,
                                  PosixState::kNotes * sizeof(posix::EntryNote), sizeof(uint32_t));
  AddFunctions(env, object, PosixMetadataFunctions(), state);
  AddFunctions(env, object, PosixFileFunctions(), state);
  AddFunctions(env, object, PosixJobFunctions(), state);
  AddFunctions(env, object, PosixSlowFunctions(), state);
  AddFunctions(env, object, PosixCloneFunctions(), state);
  AddFunctions(env, object, PosixHandleFunctions(), state);
  napi_set_named_property(env, exports, "posix", object);
  napi_add_env_cleanup_hook(
      env, [](void* data) { std::unique_ptr<PosixState>(static_cast<PosixState*>(data)); },
      owned.release());
}

}  // namespace gateway
