// The CRCs of S3's x-amz-checksum-* headers: CRC-32C (Castagnoli) and CRC-64/NVME, both reflected
// and inverted at both ends. A checksum of data in pieces: give the one so far as `crc`, 0 at
// first.
#ifndef NATIVE_IO_CRC_H_
#define NATIVE_IO_CRC_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace gateway {

// By the processor's instruction where there is one.
[[nodiscard]] uint32_t Crc32c(std::span<const std::byte> data, uint32_t crc) noexcept;
// By tables, on every processor.
[[nodiscard]] uint32_t Crc32cPortable(std::span<const std::byte> data, uint32_t crc) noexcept;

[[nodiscard]] uint64_t Crc64Nvme(std::span<const std::byte> data, uint64_t crc) noexcept;

}  // namespace gateway

#endif  // NATIVE_IO_CRC_H_
