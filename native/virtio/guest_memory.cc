#include "native/virtio/guest_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace gateway {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr long kHugetlbfsMagic = 0x958458f6;
// Tests of rings alone have less.
constexpr uint64_t kSmallestGuest = 32 << 20;
// A guest that gets as far as kicking a queue has written tens of MiB, the lowest pages first.
constexpr uint64_t kMostScanned = 16 << 20;

size_t PageSizeOf(int fd) noexcept {
  struct statfs info;
  if (fstatfs(fd, &info) == 0 && info.f_type == kHugetlbfsMagic) {
    return static_cast<size_t>(info.f_bsize);
  }
  return kPageSize;
}

}  // namespace

std::shared_ptr<MemoryRegion> MemoryRegion::Map(UniqueFd fd, const RegionAddress& address,
                                                int* error) {
  uint64_t end = 0;
  *error = EINVAL;
  if (address.size == 0 || __builtin_add_overflow(address.guest, address.size, &end) ||
      __builtin_add_overflow(address.user, address.size, &end) ||
      __builtin_add_overflow(address.file_offset, address.size, &end)) {
    return nullptr;
  }
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    *error = errno;
    return nullptr;
  }
  if (S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) < end) {
    *error = EFBIG;
    return nullptr;
  }
  const size_t page_size = PageSizeOf(fd.get());
  const uint64_t skip = address.file_offset % page_size;
  const size_t mapping_size = (address.size + skip + page_size - 1) / page_size * page_size;
  void* mapping = mmap(nullptr, mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       fd.get(), static_cast<off_t>(address.file_offset - skip));
  if (mapping == MAP_FAILED) {
    *error = errno;
    return nullptr;
  }
  // A core dump of the server must not hold the guest's memory.
  madvise(mapping, mapping_size, MADV_DONTDUMP);
  std::shared_ptr<MemoryRegion> region(new MemoryRegion(
      std::move(fd), address, mapping, mapping_size, static_cast<std::byte*>(mapping) + skip));
  region->guard_.emplace(mapping, mapping_size, page_size);
  if (!region->guard_->registered()) {
    *error = ENOMEM;
    return nullptr;
  }
  *error = 0;
  return region;
}

MemoryRegion::~MemoryRegion() {
  guard_.reset();
  munmap(mapping_, mapping_size_);
}

bool MemoryRegion::HoldsData() const noexcept {
  std::array<uint64_t, 8192> words;
  const auto end = static_cast<off_t>(address_.file_offset + address_.size);
  auto at = static_cast<off_t>(address_.file_offset);
  for (uint64_t read = 0; read < kMostScanned && at < end;) {
    // Reading a hole through the mapping would fill it.
    const off_t data = lseek(fd_.get(), at, SEEK_DATA);
    if (data < 0 || data >= end) {
      return data < 0 && errno != ENXIO;
    }
    const ssize_t count = pread(fd_.get(), words.data(), sizeof(words), data);
    if (count <= 0 || std::any_of(words.begin(), words.begin() + count / sizeof(uint64_t),
                                  [](uint64_t word) { return word != 0; })) {
      return true;
    }
    at = data + count;
    read += static_cast<uint64_t>(count);
  }
  return false;
}

GuestMemory::GuestMemory(Regions regions) : regions_(std::move(regions)) {
  std::sort(regions_.begin(), regions_.end(),
            [](const auto& a, const auto& b) { return a->address().guest < b->address().guest; });
}

const MemoryRegion* GuestMemory::Find(uint64_t address) const noexcept {
  if (last_ != nullptr && address - last_->address().guest < last_->address().size) {
    return last_;
  }
  auto after = std::upper_bound(
      regions_.begin(), regions_.end(), address,
      [](uint64_t value, const auto& region) { return value < region->address().guest; });
  if (after == regions_.begin()) {
    return nullptr;
  }
  const MemoryRegion* region = std::prev(after)->get();
  if (address - region->address().guest >= region->address().size) {
    return nullptr;
  }
  last_ = region;
  return region;
}

std::byte* GuestMemory::Translate(uint64_t address, uint64_t size) const noexcept {
  const MemoryRegion* region = Find(address);
  if (region == nullptr) {
    return nullptr;
  }
  const uint64_t offset = address - region->address().guest;
  return size <= region->address().size - offset ? region->data() + offset : nullptr;
}

std::byte* GuestMemory::TranslateUser(uint64_t address, uint64_t size) const noexcept {
  for (const auto& region : regions_) {
    const uint64_t offset = address - region->address().user;
    if (address >= region->address().user && offset < region->address().size) {
      return size <= region->address().size - offset ? region->data() + offset : nullptr;
    }
  }
  return nullptr;
}

bool GuestMemory::Append(uint64_t address, uint64_t size, std::vector<iovec>* buffers,
                         size_t first_joinable) const {
  while (size > 0) {
    const MemoryRegion* region = Find(address);
    if (region == nullptr) {
      return false;
    }
    const uint64_t offset = address - region->address().guest;
    const uint64_t part = std::min(size, region->address().size - offset);
    std::byte* start = region->data() + offset;
    if (buffers->size() > first_joinable &&
        static_cast<std::byte*>(buffers->back().iov_base) + buffers->back().iov_len == start) {
      buffers->back().iov_len += part;
    } else {
      buffers->push_back({start, part});
    }
    address += part;
    size -= part;
  }
  return true;
}

bool GuestMemory::faulted() const noexcept {
  return std::any_of(regions_.begin(), regions_.end(),
                     [](const auto& region) { return region->faulted(); });
}

bool GuestMemory::LooksPrivate() const noexcept {
  uint64_t size = 0;
  for (const auto& region : regions_) {
    size += region->address().size;
  }
  return size >= kSmallestGuest &&
         std::none_of(regions_.begin(), regions_.end(),
                      [](const auto& region) { return region->HoldsData(); });
}

}  // namespace gateway
