// A bound file that is a file descriptor.
#ifndef NATIVE_IO_DESCRIPTOR_FILE_H_
#define NATIVE_IO_DESCRIPTOR_FILE_H_

#include <optional>
#include <utility>

#include "native/io/bound_file.h"
#include "native/io/unique_fd.h"

namespace gateway {

class DescriptorFile final : public BoundFile {
 public:
  // Takes `fd` over. Opened with O_APPEND, every write goes to the end of the file: Linux's pwritev
  // ignores the offset then.
  explicit DescriptorFile(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  [[nodiscard]] ssize_t Read(std::span<const iovec> buffers, uint64_t offset,
                             Blocking blocking) noexcept override;
  [[nodiscard]] ssize_t Write(std::span<const iovec> buffers, uint64_t offset,
                              Blocking blocking) noexcept override;
  // Finds out the medium, which Read() then only looks at.
  [[nodiscard]] bool ReadsInParallel() noexcept override { return medium() != Medium::kOther; }
  [[nodiscard]] bool MayHavePrivileges() noexcept override;

 private:
  // How likely a call on the file is to wait, found out at the first one: many files are opened and
  // never read.
  enum class Medium {
    kUnknown,
    kMemory,  // tmpfs: never waits for a disk
    kDisk,    // page cache in front of a local disk: RWF_NOWAIT tells
    kOther,   // network and FUSE file systems: anything may wait
  };

  [[nodiscard]] Medium medium() noexcept;
  // O_DIRECT, O_SYNC or O_DSYNC: every write waits for the disk.
  [[nodiscard]] bool IsSynchronous() noexcept;

  UniqueFd fd_;
  std::optional<bool> synchronous_;
  Medium medium_ = Medium::kUnknown;
};

}  // namespace gateway

#endif  // NATIVE_IO_DESCRIPTOR_FILE_H_
