// Copies between flat memory and scattered buffers in guest memory.
#ifndef NATIVE_VIRTIO_BUFFERS_H_
#define NATIVE_VIRTIO_BUFFERS_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gateway {

// Copies from byte `offset` of `source` into `target`; returns how many bytes there were.
size_t CopyFrom(std::span<const iovec> source, size_t offset, std::span<std::byte> target) noexcept;

// Copies `source` to byte `offset` of `target`; returns how many bytes found room.
size_t CopyTo(std::span<const iovec> target, size_t offset,
              std::span<const std::byte> source) noexcept;

// Sets `*part` to bytes [offset, offset + size) of `whole`, or as much of them as exist.
void Slice(std::span<const iovec> whole, size_t offset, uint64_t size, std::vector<iovec>* part);

}  // namespace gateway

#endif  // NATIVE_VIRTIO_BUFFERS_H_
