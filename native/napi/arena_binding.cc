// The arena for JavaScript: an object whose functions carry the arena themselves, so that a call
// costs no unwrapping. 64-bit arguments travel as two 32-bit halves, low first; 64-bit results and
// attributes come back in the object's `words`.
#include <cstring>
#include <iterator>
#include <memory>
#include <mutex>
#include <vector>

#include "native/io/arena.h"
#include "native/io/io_pool.h"
#include "native/napi/addon.h"

namespace gateway {
namespace {

constexpr napi_type_tag kArenaTag = {0x9c1f4be27d3a4d5e, 0xa6b8e0c35f127749};

// Indexes of `words`; src/native/arena.ts has the same.
enum Word : size_t {
  kSizeWord = 0,
  kBlocksWord = 2,
  kAtimeWord = 4,
  kMtimeWord = 6,
  kCtimeWord = 8,
  kAtimeNanosecondsWord = 10,
  kMtimeNanosecondsWord = 11,
  kCtimeNanosecondsWord = 12,
  kResultWord = 14,
  kWordCount = 16,
};

// What the functions of one arena object share. A box is emptied by close() or when the object is
// collected, and is itself never freed: the functions may outlive the object.
struct ArenaBox {
  std::shared_ptr<Arena> arena;
  uint32_t* words = nullptr;
  napi_ref words_reference = nullptr;

  void Store64(size_t word, uint64_t value) {
    words[word] = static_cast<uint32_t>(value);
    words[word + 1] = static_cast<uint32_t>(value >> 32);
  }
  [[nodiscard]] uint64_t Load64(size_t word) const {
    return words[word] | uint64_t{words[word + 1]} << 32;
  }
};

ArenaBox* NewBox() {
  struct Boxes {
    std::mutex mutex;
    std::vector<std::unique_ptr<ArenaBox>> list;
  };
  // Never destroyed: environments may end after static destructors began.
  static Boxes& boxes = *std::make_unique<Boxes>().release();
  std::lock_guard lock(boxes.mutex);
  return boxes.list.emplace_back(std::make_unique<ArenaBox>()).get();
}

napi_value ToNumber(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

// The arguments of a call. Missing ones and such as are no numbers are 0.
class Call {
 public:
  static constexpr size_t kMaxArguments = 8;

  Call(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = kMaxArguments;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, values_, nullptr, &data);
    box_ = static_cast<ArenaBox*>(data);
  }

  [[nodiscard]] bool open() const { return box_->arena != nullptr; }
  [[nodiscard]] ArenaBox& box() const { return *box_; }
  [[nodiscard]] Arena& arena() const { return *box_->arena; }

  [[nodiscard]] uint32_t Word(size_t index) const {
    uint32_t value = 0;
    napi_get_value_uint32(env_, values_[index], &value);
    return value;
  }
  [[nodiscard]] uint64_t Word64(size_t index) const {
    return Word(index) | uint64_t{Word(index + 1)} << 32;
  }
  // The file that an argument names, or null, also when the arena is closed.
  [[nodiscard]] ArenaFile* File(size_t index) const {
    return open() ? box_->arena->Find(Word(index)) : nullptr;
  }
  // A Uint8Array argument.
  [[nodiscard]] iovec Bytes(size_t index) const {
    napi_typedarray_type type = napi_int8_array;
    iovec bytes = {nullptr, 0};
    if (napi_get_typedarray_info(env_, values_[index], &type, &bytes.iov_len, &bytes.iov_base,
                                 nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      return {nullptr, 0};
    }
    return bytes;
  }
  [[nodiscard]] napi_value Return(int64_t value) const { return ToNumber(env_, value); }

 private:
  const napi_env env_;
  napi_value values_[kMaxArguments] = {};
  ArenaBox* box_ = nullptr;
};

napi_value CreateFile(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.open() ? int64_t{call.arena().CreateFile().number} : -EBADF);
}

napi_value DropFile(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  call.arena().Unreference(*file);
  return call.Return(0);
}

napi_value Stat(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  ArenaBox& box = call.box();
  box.Store64(kSizeWord, file->size);
  box.Store64(kBlocksWord, file->pages * (Arena::kPageBytes / 512));
  box.Store64(kAtimeWord, static_cast<uint64_t>(file->atime.seconds));
  box.Store64(kMtimeWord, static_cast<uint64_t>(file->mtime.seconds));
  box.Store64(kCtimeWord, static_cast<uint64_t>(file->ctime.seconds));
  box.words[kAtimeNanosecondsWord] = file->atime.nanoseconds;
  box.words[kMtimeNanosecondsWord] = file->mtime.nanoseconds;
  box.words[kCtimeNanosecondsWord] = file->ctime.nanoseconds;
  return call.Return(0);
}

void AssignTimes(ArenaFile& file, uint32_t mask, const ArenaTime& atime, const ArenaTime& mtime,
                 const ArenaTime& ctime) {
  if ((mask & kAtime) != 0) {
    file.atime = atime;
  }
  if ((mask & kMtime) != 0) {
    file.mtime = mtime;
  }
  if ((mask & kCtime) != 0) {
    file.ctime = ctime;
  }
}

napi_value SetTimes(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const ArenaBox& box = call.box();
  const auto load = [&box](size_t seconds, size_t nanoseconds) {
    return ArenaTime{static_cast<int64_t>(box.Load64(seconds)), box.words[nanoseconds]};
  };
  AssignTimes(*file, call.Word(1), load(kAtimeWord, kAtimeNanosecondsWord),
              load(kMtimeWord, kMtimeNanosecondsWord), load(kCtimeWord, kCtimeNanosecondsWord));
  return call.Return(0);
}

napi_value Touch(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const ArenaTime now = ArenaTime::Now();
  AssignTimes(*file, call.Word(1), now, now, now);
  return call.Return(0);
}

napi_value SetPrivileged(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  file->may_have_privileges = call.Word(1) != 0;
  return call.Return(0);
}

napi_value Now(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  if (!call.open()) {
    return call.Return(-EBADF);
  }
  const ArenaTime now = ArenaTime::Now();
  call.box().Store64(kResultWord, static_cast<uint64_t>(now.seconds));
  return call.Return(now.nanoseconds);
}

napi_value Read(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const iovec into = call.Bytes(3);
  const bool keep_atime = call.Word(4) != 0;
  return call.Return(call.arena().Read(*file, {&into, 1}, call.Word64(1), keep_atime));
}

napi_value Write(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const iovec from = call.Bytes(3);
  return call.Return(call.arena().Write(*file, {&from, 1}, call.Word64(1)));
}

napi_value Truncate(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  return call.Return(file == nullptr ? -EBADF : call.arena().Truncate(*file, call.Word64(1)));
}

napi_value Allocate(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const int mode = static_cast<int>(call.Word(1));
  return call.Return(call.arena().Allocate(*file, mode, call.Word64(2), call.Word64(4)));
}

napi_value Seek(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const ArenaFile* const file = call.File(0);
  if (file == nullptr) {
    return call.Return(-EBADF);
  }
  const int64_t position = call.arena().Seek(*file, call.Word64(2), static_cast<int>(call.Word(1)));
  if (position < 0) {
    return call.Return(position);
  }
  call.box().Store64(kResultWord, static_cast<uint64_t>(position));
  return call.Return(0);
}

napi_value CopyRange(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  ArenaFile* const from = call.File(0);
  ArenaFile* const to = call.File(3);
  if (from == nullptr || to == nullptr) {
    return call.Return(-EBADF);
  }
  return call.Return(
      call.arena().CopyRange(*from, call.Word64(1), *to, call.Word64(4), call.Word64(6)));
}

napi_value Charge(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.open() ? call.arena().Charge(static_cast<int32_t>(call.Word(0)))
                                 : -EBADF);
}

napi_value UsedPages(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.open() ? static_cast<int64_t>(call.arena().used_pages()) : 0);
}

// Also called when the environment ends, before its pool does: handles may outlive both.
void CloseBox(void* data) {
  auto* const box = static_cast<ArenaBox*>(data);
  if (box->arena) {
    box->arena->Close();
    box->arena.reset();
  }
}

napi_value Close(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  CloseBox(&call.box());
  return call.Return(0);
}

struct Function {
  const char* name;
  napi_callback callback;
};

constexpr Function kFunctions[] = {
    {"createFile", CreateFile},
    {"dropFile", DropFile},
    {"stat", Stat},
    {"setTimes", SetTimes},
    {"touch", Touch},
    {"setPrivileged", SetPrivileged},
    {"now", Now},
    {"read", Read},
    {"write", Write},
    {"truncate", Truncate},
    {"allocate", Allocate},
    {"seek", Seek},
    {"copyRange", CopyRange},
    {"charge", Charge},
    {"usedPages", UsedPages},
    {"close", Close},
};

void FinalizeArena(napi_env env, void* data, void* /*hint*/) {
  napi_remove_env_cleanup_hook(env, CloseBox, data);
  CloseBox(data);
  napi_delete_reference(env, static_cast<ArenaBox*>(data)->words_reference);
}

// The object with its functions, or null with a pending exception.
napi_value NewArenaObject(napi_env env, ArenaBox* box) {
  napi_value object = nullptr;
  napi_value buffer = nullptr;
  napi_value words = nullptr;
  void* memory = nullptr;
  if (napi_create_object(env, &object) != napi_ok ||
      napi_create_arraybuffer(env, kWordCount * sizeof(uint32_t), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint32_array, kWordCount, buffer, 0, &words) != napi_ok ||
      napi_create_reference(env, buffer, 1, &box->words_reference) != napi_ok ||
      napi_set_named_property(env, object, "words", words) != napi_ok ||
      napi_type_tag_object(env, object, &kArenaTag) != napi_ok ||
      napi_wrap(env, object, box, FinalizeArena, nullptr, nullptr) != napi_ok) {
    return nullptr;
  }
  napi_add_env_cleanup_hook(env, CloseBox, box);
  box->words = static_cast<uint32_t*>(memory);
  for (const Function& function : kFunctions) {
    napi_value value = nullptr;
    if (napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, box,
                             &value) != napi_ok ||
        napi_set_named_property(env, object, function.name, value) != napi_ok) {
      return nullptr;
    }
  }
  return object;
}

// openArena(limitPages): the arena object, or a negative errno.
napi_value OpenArena(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  int64_t limit_pages = 0;
  napi_get_value_int64(env, argument, &limit_pages);
  int error = 0;
  std::shared_ptr<Arena> arena = Arena::Create(
      limit_pages < 0 ? 0 : static_cast<uint64_t>(limit_pages), &IoPool::ForEnv(env), error);
  if (!arena) {
    return ToNumber(env, -error);
  }
  ArenaBox* const box = NewBox();
  box->arena = std::move(arena);
  return NewArenaObject(env, box);
}

}  // namespace

void RegisterArena(Napi::Env env, Napi::Object exports) {
  napi_value function = nullptr;
  if (napi_create_function(env, "openArena", NAPI_AUTO_LENGTH, OpenArena, nullptr, &function) ==
      napi_ok) {
    napi_set_named_property(env, exports, "openArena", function);
  }
}

std::shared_ptr<BoundFile> BindArenaFile(Napi::Env env, Napi::Value object, uint32_t file,
                                         bool append, bool keep_atime) {
  bool tagged = false;
  void* data = nullptr;
  if (object.IsObject()) {
    napi_check_object_type_tag(env, object, &kArenaTag, &tagged);
  }
  if (!tagged || napi_unwrap(env, object, &data) != napi_ok) {
    Napi::TypeError::New(env, "expected an arena").ThrowAsJavaScriptException();
    return nullptr;
  }
  const std::shared_ptr<Arena>& arena = static_cast<ArenaBox*>(data)->arena;
  ArenaFile* const found = arena ? arena->Find(file) : nullptr;
  if (found == nullptr) {
    Napi::RangeError::New(env, "no such file in the arena").ThrowAsJavaScriptException();
    return nullptr;
  }
  return std::make_shared<BoundArenaFile>(arena, *found, append, keep_atime);
}

}  // namespace gateway
