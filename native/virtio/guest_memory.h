// The guest's memory as the front-end shares it.
#ifndef NATIVE_VIRTIO_GUEST_MEMORY_H_
#define NATIVE_VIRTIO_GUEST_MEMORY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "native/io/unique_fd.h"
#include "native/virtio/fault_guard.h"

namespace gateway {

// Where a region lies: VHOST_USER_SET_MEM_TABLE and VHOST_USER_ADD_MEM_REG.
struct RegionAddress {
  uint64_t guest = 0;        // guest physical address
  uint64_t size = 0;         // bytes
  uint64_t user = 0;         // address in the front-end's process (ring addresses use it)
  uint64_t file_offset = 0;  // where the region begins in its descriptor
};

// One mapped region. Mappings outlive their removal while a request still uses them.
class MemoryRegion {
 public:
  // Maps the region; null and *error = errno when it cannot be. *error is EFBIG when the file is
  // shorter than the region, EACCES or ENODEV when the descriptor cannot be mapped shared.
  static std::shared_ptr<MemoryRegion> Map(UniqueFd fd, const RegionAddress& address, int* error);
  ~MemoryRegion();
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;

  [[nodiscard]] const RegionAddress& address() const noexcept { return address_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] bool faulted() const noexcept { return guard_->faulted(); }
  // Whether the file behind the region has a byte other than 0 in the first MiB of it that exist.
  [[nodiscard]] bool HoldsData() const noexcept;

 private:
  MemoryRegion(UniqueFd fd, const RegionAddress& address, void* mapping, size_t mapping_size,
               std::byte* data)
      : fd_(std::move(fd)),
        address_(address),
        mapping_(mapping),
        mapping_size_(mapping_size),
        data_(data) {}

  UniqueFd fd_;
  RegionAddress address_;
  void* mapping_;
  size_t mapping_size_;
  std::byte* data_;
  std::optional<FaultGuard> guard_;
};

// An immutable set of regions. The lane swaps in a new one when the table changes; a request that
// waits keeps the one its buffers were translated with.
class GuestMemory {
 public:
  using Regions = std::vector<std::shared_ptr<MemoryRegion>>;

  GuestMemory() = default;
  explicit GuestMemory(Regions regions);

  // The bytes [address, address + size) of guest physical memory if one region holds them all.
  [[nodiscard]] std::byte* Translate(uint64_t address, uint64_t size) const noexcept;

  // The same for an address in the front-end's process.
  [[nodiscard]] std::byte* TranslateUser(uint64_t address, uint64_t size) const noexcept;

  // Appends [address, address + size) to `buffers`, over several regions if they follow each other,
  // joined with the last buffer where they are contiguous. False when any byte is outside.
  [[nodiscard]] bool Append(uint64_t address, uint64_t size, std::vector<iovec>* buffers,
                            size_t first_joinable) const;

  [[nodiscard]] const Regions& regions() const noexcept { return regions_; }
  [[nodiscard]] bool faulted() const noexcept;
  // Whether the front-end seems to keep the guest's memory to itself: a memory as large as a real
  // guest's in which nothing was ever written.
  [[nodiscard]] bool LooksPrivate() const noexcept;

 private:
  [[nodiscard]] const MemoryRegion* Find(uint64_t address) const noexcept;

  Regions regions_;  // by guest address
  mutable const MemoryRegion* last_ = nullptr;
};

}  // namespace gateway

#endif  // NATIVE_VIRTIO_GUEST_MEMORY_H_
