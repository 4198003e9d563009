// What waits for a disk: each function returns a promise and runs on the I/O pool. The descriptor
// is duplicated first, so that it stays the same file even if the guest releases it meanwhile.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "native/io/unique_fd.h"
#include "native/napi/posix_job.h"
#include "native/posix/credentials.h"
#include "native/posix/files.h"

namespace gateway {
namespace {

int64_t Status(int64_t result) { return result < 0 ? -errno : result; }

// fsyncNow(fd, dataOnly): a number, for files in memory
napi_value FsyncNow(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  const int fd = call.Fd(0);
  return call.Return(static_cast<int>(Status(call.Int32(1) == 1 ? fdatasync(fd) : fsync(fd))));
}

// fsync(fd, dataOnly)
napi_value Fsync(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call, [fd = Duplicate(call.Fd(0)), data_only = call.Int32(1) == 1]() noexcept {
    return Status(data_only ? fdatasync(fd.get()) : fsync(fd.get()));
  });
}

// syncfs(fd); a path will do
napi_value SyncFs(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call, [path = Duplicate(call.Fd(0))]() noexcept -> int64_t {
    const int opened = posix::Reopen(path.get(), O_RDONLY | O_DIRECTORY);
    if (opened < 0) return opened;
    const UniqueFd fd(opened);
    return Status(syncfs(fd.get()));
  });
}

// fallocate(fd, mode, offset, length, killSuidgid)
napi_value Fallocate(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call, [fd = Duplicate(call.Fd(0)), mode = call.Int32(1), offset = call.BigInt(2),
                       length = call.BigInt(3), kill = call.Int32(4) == 1]() noexcept {
    const posix::WithoutFsetid dropped(kill);
    return Status(fallocate(fd.get(), mode, offset, length));
  });
}

int64_t CopyRange(int from, int64_t from_offset, int to, int64_t to_offset, int64_t length,
                  bool kill) noexcept {
  const posix::WithoutFsetid dropped(kill);
  off64_t in = from_offset;
  off64_t out = to_offset;
  return Status(copy_file_range(from, &in, to, &out, static_cast<size_t>(length), 0));
}

// copyFileRangeNow(from, fromOffset, to, toOffset, length, killSuidgid): bytes copied, for little
// data of files in memory
napi_value CopyFileRangeNow(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return call.Return(static_cast<int>(CopyRange(
      call.Fd(0), call.BigInt(1), call.Fd(2), call.BigInt(3), call.BigInt(4), call.Int32(5) == 1)));
}

// copyFileRange(from, fromOffset, to, toOffset, length, killSuidgid): bytes copied
napi_value CopyFileRange(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call, [from = Duplicate(call.Fd(0)), from_offset = call.BigInt(1),
                       to = Duplicate(call.Fd(2)), to_offset = call.BigInt(3),
                       length = call.BigInt(4), kill = call.Int32(5) == 1]() noexcept {
    return CopyRange(from.get(), from_offset, to.get(), to_offset, length, kill);
  });
}

// truncateSlowly(fd, size, isOpenForWriting, killSuidgid): as truncate
napi_value TruncateSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [fd = Duplicate(call.Fd(0)), size = call.BigInt(1), open = call.Int32(2) == 1,
                 kill = call.Int32(3) == 1]() noexcept -> int64_t {
                  return open ? posix::TruncateOpen(fd.get(), size, kill)
                              : posix::Truncate(fd.get(), size, kill);
                });
}

// writeSlowly(fd, from, offset, killSuidgid): bytes written; `from` must stay as it is
napi_value WriteSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call,
                [fd = Duplicate(call.Fd(0)), kept = KeptValue(env, call.value(1)),
                 from = std::span<const std::byte>(call.Bytes(1)), offset = call.Int64(2),
                 kill = call.Int32(3) == 1]() noexcept -> int64_t {
                  return posix::Write(fd.get(), from, offset, kill);
                });
}

// readSlowly(fd, into, offset): bytes read
napi_value ReadSlowly(napi_env env, napi_callback_info info) {
  const PosixCall call(env, info);
  return Submit(call, [fd = Duplicate(call.Fd(0)), kept = KeptValue(env, call.value(1)),
                       into = call.Bytes(1), offset = call.Int64(2)]() noexcept {
    return Status(pread(fd.get(), into.data(), into.size(), offset));
  });
}

// Closes descriptors, many at a time: whoever comes while it runs waits for the next one.
class CloseJob final : public IoJob {
 public:
  static void SubmitFor(PosixState& state, IoPool& pool) {
    state.is_closing = true;
    pool.Submit(std::make_unique<CloseJob>(state, pool));
  }

  CloseJob(PosixState& state, IoPool& pool)
      : state_(state), pool_(pool), closing_(std::exchange(state.to_close, {})) {}

  void Run() noexcept override { closing_.clear(); }
  void Complete() noexcept override {
    state_.is_closing = false;
    if (!state_.to_close.empty()) SubmitFor(state_, pool_);
  }

 private:
  PosixState& state_;
  IoPool& pool_;
  std::vector<UniqueFd> closing_;
};

// 512-byte blocks that closing the descriptor may free: those of a file without a name.
blkcnt_t BlocksToFree(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && info.st_nlink == 0 ? info.st_blocks : 0;
}

// Whether a close took so long that it should have been the pool's.
bool CloseIsSlow(UniqueFd fd) {
  constexpr auto kSlow = std::chrono::microseconds(40);
  const auto start = std::chrono::steady_clock::now();
  fd.Reset();
  return std::chrono::steady_clock::now() - start > kSlow;
}

// closeLast(fd): nothing. On some disks freeing a single block takes 100 us (`discard`), on most
// less than a pool thread takes to wake up. Which it is shows at every 64th close.
napi_value CloseLast(napi_env env, napi_callback_info info) {
  // More than this many would take up too much of the process's limit.
  constexpr size_t kMostWaiting = 1024;
  constexpr blkcnt_t kFewBlocks = 2048;
  constexpr uint32_t kAfterSlow = 64;
  const PosixCall call(env, info);
  PosixState& state = call.state();
  UniqueFd fd(call.Fd(0));
  const blkcnt_t blocks = BlocksToFree(fd.get());
  if (blocks == 0 || state.to_close.size() >= kMostWaiting) return nullptr;
  if (blocks <= kFewBlocks && state.closes_for_pool == 0) {
    if (CloseIsSlow(std::move(fd))) state.closes_for_pool = kAfterSlow;
    return nullptr;
  }
  if (state.closes_for_pool > 0) --state.closes_for_pool;
  state.to_close.push_back(std::move(fd));
  if (!state.is_closing) CloseJob::SubmitFor(state, state.pool(env));
  return nullptr;
}

constexpr PosixFunction kFunctions[] = {
    {"closeLast", CloseLast},
    {"readSlowly", ReadSlowly},
    {"fsyncNow", FsyncNow},
    {"writeSlowly", WriteSlowly},
    {"fsync", Fsync},
    {"syncfs", SyncFs},
    {"fallocate", Fallocate},
    {"copyFileRange", CopyFileRange},
    {"copyFileRangeNow", CopyFileRangeNow},
    {"truncateSlowly", TruncateSlowly},
};

}  // namespace

std::span<const PosixFunction> PosixJobFunctions() { return kFunctions; }

}  // namespace gateway
