// What the parts of the POSIX binding share. The functions are plain N-API functions with small
// integer arguments (an object's method costs ten times as much); attributes go to one array.
#ifndef NATIVE_NAPI_POSIX_BINDING_H_
#define NATIVE_NAPI_POSIX_BINDING_H_

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "native/io/io_pool.h"
#include "native/io/unique_fd.h"
#include "native/napi/arguments.h"
#include "native/posix/attributes.h"
#include "native/posix/credentials.h"
#include "native/posix/directory_reader.h"

namespace gateway {

// Of one environment; freed when it ends.
struct PosixState {
  static constexpr size_t kNotes = 8192;
  static constexpr size_t kStatistics = 8;

  // Looked up when it is first used (see IoPool::ForEnv).
  IoPool* pool_of_env = nullptr;
  // Memory of the arrays that JavaScript reads results from; it keeps them alive (see MakeArray).
  uint32_t* attr = nullptr;
  double* statistics = nullptr;
  posix::EntryNote* notes = nullptr;
  posix::DirectoryReader directories;
  // Descriptors to close, and whether a job that closes others is under way.
  std::vector<UniqueFd> to_close;
  bool is_closing = false;
  // The next so many are for the pool, because one that was not took long.
  uint32_t closes_for_pool = 0;

  [[nodiscard]] IoPool& pool(napi_env env) {
    if (pool_of_env == nullptr) pool_of_env = &IoPool::ForEnv(env);
    return *pool_of_env;
  }
  [[nodiscard]] posix::AttrWords attributes() const {
    return posix::AttrWords(attr, posix::kAttrWords);
  }
};

// Arguments of a call, and the state of the environment it came from.
class PosixCall : public Arguments {
 public:
  using Arguments::Arguments;

  [[nodiscard]] PosixState& state() const { return *static_cast<PosixState*>(data()); }
  [[nodiscard]] posix::AttrWords attributes() const { return state().attributes(); }

  // A descriptor; -1, which every system call refuses, when the argument is none.
  [[nodiscard]] int Fd(size_t index) const {
    int32_t result = -1;
    napi_get_value_int32(env(), value(index), &result);
    return result;
  }
  // A number that is a whole one below 2^53.
  [[nodiscard]] int64_t Int64(size_t index) const {
    int64_t result = -1;
    napi_get_value_int64(env(), value(index), &result);
    return result;
  }
  // A BigInt; -1 for one of more than 63 bits.
  [[nodiscard]] int64_t BigInt(size_t index) const {
    int64_t result = -1;
    bool lossless = false;
    napi_get_value_bigint_int64(env(), value(index), &result, &lossless);
    return lossless ? result : -1;
  }
  // uid, gid, supplementary group: three arguments from `index` on.
  [[nodiscard]] posix::Identity Caller(size_t index) const {
    return {Uint32(index), Uint32(index + 1), Int64(index + 2)};
  }

  [[nodiscard]] napi_value Return(int result) const { return ReturnInt32(result); }
};

// A latin1 string argument as NUL-terminated bytes on the stack.
template <size_t Capacity>
class ByteString {
 public:
  ByteString(const PosixCall& call, size_t index) {
    const napi_status status = napi_get_value_string_latin1(call.env(), call.value(index), bytes_,
                                                            sizeof(bytes_), &length_);
    if (status != napi_ok) length_ = 0;
  }
  // Longer than the capacity, empty, or with a NUL inside.
  [[nodiscard]] bool bad() const {
    return length_ == 0 || length_ > Capacity || view().find('\0') != std::string_view::npos;
  }
  [[nodiscard]] std::string_view view() const { return {bytes_, length_}; }
  [[nodiscard]] const char* get() const { return bytes_; }

 private:
  // One byte more than allowed, to tell a string that is too long, and the NUL.
  char bytes_[Capacity + 2];
  size_t length_ = 0;
};

struct PosixFunction {
  const char* name;
  napi_callback function;
};

std::span<const PosixFunction> PosixMetadataFunctions();
std::span<const PosixFunction> PosixFileFunctions();
std::span<const PosixFunction> PosixJobFunctions();
std::span<const PosixFunction> PosixSlowFunctions();
std::span<const PosixFunction> PosixCloneFunctions();
std::span<const PosixFunction> PosixHandleFunctions();

}  // namespace gateway

#endif  // NATIVE_NAPI_POSIX_BINDING_H_
