// Arguments of a plain Node-API function, without the cost of a wrapper object per call.
#ifndef NATIVE_NAPI_ARGUMENTS_H_
#define NATIVE_NAPI_ARGUMENTS_H_

#include <node_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gateway {

// Missing or mistyped arguments read as 0 or empty: the TypeScript wrappers check types.
class Arguments {
 public:
  static constexpr size_t kMost = 10;

  Arguments(napi_env env, napi_callback_info info) noexcept : env_(env) {
    size_t count = kMost;
    napi_get_cb_info(env, info, &count, values_.data(), nullptr, &data_);
  }

  [[nodiscard]] napi_env env() const noexcept { return env_; }
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] napi_value value(size_t index) const noexcept { return values_[index]; }

  [[nodiscard]] uint32_t Uint32(size_t index) const noexcept {
    uint32_t value = 0;
    napi_get_value_uint32(env_, values_[index], &value);
    return value;
  }
  [[nodiscard]] int32_t Int32(size_t index) const noexcept {
    int32_t value = 0;
    napi_get_value_int32(env_, values_[index], &value);
    return value;
  }
  [[nodiscard]] uint64_t Uint64(size_t index) const noexcept {
    uint64_t value = 0;
    bool lossless = false;
    napi_get_value_bigint_uint64(env_, values_[index], &value, &lossless);
    return value;
  }
  [[nodiscard]] bool Bool(size_t index) const noexcept {
    bool value = false;
    napi_get_value_bool(env_, values_[index], &value);
    return value;
  }
  // The bytes of a Uint8Array (or Buffer).
  [[nodiscard]] std::span<std::byte> Bytes(size_t index) const noexcept {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env_, values_[index], &type, &length, &data, nullptr, nullptr) !=
            napi_ok ||
        type != napi_uint8_array) {
      return {};
    }
    return {static_cast<std::byte*>(data), length};
  }

  [[nodiscard]] napi_value ReturnInt32(int32_t value) const noexcept {
    napi_value result = nullptr;
    napi_create_int32(env_, value, &result);
    return result;
  }
  [[nodiscard]] napi_value ReturnUint32(uint32_t value) const noexcept {
    napi_value result = nullptr;
    napi_create_uint32(env_, value, &result);
    return result;
  }

 private:
  napi_env env_;
  void* data_ = nullptr;
  std::array<napi_value, kMost> values_{};
};

// Adds a function to `object`; `data` reaches it through Arguments::data().
inline void DefineFunction(napi_env env, napi_value object, const char* name,
                           napi_callback callback, void* data = nullptr) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  napi_set_named_property(env, object, name, function);
}

}  // namespace gateway

#endif  // NATIVE_NAPI_ARGUMENTS_H_
