// exports.partialFile: files that native code reads where they are there. Types:
// src/native/partial-file.ts.
#include <memory>
#include <utility>

#include "native/io/partial_file.h"
#include "native/napi/addon.h"
#include "native/napi/arguments.h"

namespace gateway {
namespace {

constexpr napi_type_tag kPartialFileTag = {0x51d0a7c6be4f4a0b, 0x8f0ce2b9937a6d14};

// What the JavaScript object holds: empty once it is closed.
struct PartialFileBox {
  std::shared_ptr<PartialFile> file;
};

PartialFileBox* Unwrap(napi_env env, napi_value object) {
  bool tagged = false;
  void* data = nullptr;
  napi_check_object_type_tag(env, object, &kPartialFileTag, &tagged);
  return tagged && napi_unwrap(env, object, &data) == napi_ok ? static_cast<PartialFileBox*>(data)
                                                              : nullptr;
}

// The words live as long as anybody sees them, be the file closed or not.
napi_value WordsBuffer(napi_env env, const std::shared_ptr<PresentBlocks>& blocks) {
  auto hold = std::make_unique<std::shared_ptr<PresentBlocks>>(blocks);
  const std::span<uint32_t> words = blocks->words();
  const auto release = [](napi_env, void*, void* hint) {
    const std::unique_ptr<std::shared_ptr<PresentBlocks>> held(
        static_cast<std::shared_ptr<PresentBlocks>*>(hint));
  };
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, words.data(), words.size_bytes(), release, hold.get(),
                                       &buffer) == napi_ok) {
    [[maybe_unused]] auto* held_by_buffer = hold.release();
  }
  return buffer;
}

// open(fd, size, shift): the object. Takes the descriptor over.
napi_value Open(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int64_t size = 0;
  napi_get_value_int64(env, arguments.value(1), &size);
  UniqueFd fd(arguments.Int32(0));
  const auto blocks =
      std::make_shared<PresentBlocks>(static_cast<uint64_t>(size), arguments.Uint32(2));
  auto box = std::make_unique<PartialFileBox>(
      PartialFileBox{std::make_shared<PartialFile>(std::move(fd), blocks)});
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_type_tag_object(env, object, &kPartialFileTag);
  napi_set_named_property(env, object, "words", WordsBuffer(env, blocks));
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<PartialFileBox> owned(static_cast<PartialFileBox*>(data));
  };
  if (napi_wrap(env, object, box.get(), finalize, nullptr, nullptr) == napi_ok) {
    [[maybe_unused]] auto* held_by_object = box.release();
  }
  return object;
}

// close(object): the descriptor goes when no read is in flight.
napi_value Close(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (PartialFileBox* const box = Unwrap(env, arguments.value(0)); box != nullptr) {
    box->file.reset();
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<BoundFile> BindPartialFile(Napi::Env env, Napi::Value object) {
  const PartialFileBox* const box = object.IsObject() ? Unwrap(env, object) : nullptr;
  if (box == nullptr || box->file == nullptr) {
    Napi::TypeError::New(env, "expected an open partial file").ThrowAsJavaScriptException();
    return nullptr;
  }
  return box->file;
}

void RegisterPartialFile(Napi::Env environment, Napi::Object exports) {
  const napi_env env = environment;
  napi_value object = nullptr;
  napi_create_object(env, &object);
  DefineFunction(env, object, "open", Open);
  DefineFunction(env, object, "close", Close);
  napi_set_named_property(env, exports, "partialFile", object);
}

}  // namespace gateway
