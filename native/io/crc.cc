#include "native/io/crc.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace gateway {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

// tables[k][b]: what byte b becomes when k more bytes have gone through the register after it.
template <typename Word>
using Tables = std::array<std::array<Word, 256>, 8>;

template <typename Word>
constexpr Tables<Word> MakeTables(Word polynomial) {
  Tables<Word> tables{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    Word value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1) != 0 ? (value >> 1) ^ polynomial : value >> 1;
    }
    tables[0][byte] = value;
  }
  for (size_t slice = 1; slice < 8; ++slice) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const Word before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables<uint32_t> kCrc32cTables = MakeTables<uint32_t>(0x82f63b78);
constexpr Tables<uint64_t> kCrc64NvmeTables = MakeTables<uint64_t>(0x9a6c9329ac4bc9b5);

uint64_t ReadWord(const std::byte* from) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// "Slicing by 8": eight look-ups that do not wait for each other take eight bytes in.
template <typename Word>
Word Update(const Tables<Word>& tables, std::span<const std::byte> data, Word crc) noexcept {
  Word state = ~crc;
  const std::byte* at = data.data();
  size_t left = data.size();
  for (; left >= 8; at += 8, left -= 8) {
    const uint64_t word = ReadWord(at) ^ state;
    state = 0;
    for (size_t byte = 0; byte < 8; ++byte) state ^= tables[7 - byte][(word >> (8 * byte)) & 0xff];
  }
  for (; left > 0; ++at, --left) {
    state = (state >> 8) ^ tables[0][(state ^ std::to_integer<Word>(*at)) & 0xff];
  }
  return ~state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cSse42(std::span<const std::byte> data,
                                                       uint32_t crc) noexcept {
  uint64_t state = ~crc;
  const std::byte* at = data.data();
  size_t left = data.size();
  for (; left >= 8; at += 8, left -= 8) state = _mm_crc32_u64(state, ReadWord(at));
  for (; left > 0; ++at, --left) {
    state = _mm_crc32_u8(static_cast<uint32_t>(state), std::to_integer<uint8_t>(*at));
  }
  return ~static_cast<uint32_t>(state);
}

const bool kHasSse42 = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

uint32_t Crc32cPortable(std::span<const std::byte> data, uint32_t crc) noexcept {
  return Update(kCrc32cTables, data, crc);
}

uint32_t Crc32c(std::span<const std::byte> data, uint32_t crc) noexcept {
#if defined(__x86_64__)
  if (kHasSse42) return Crc32cSse42(data, crc);
#endif
  return Crc32cPortable(data, crc);
}

uint64_t Crc64Nvme(std::span<const std::byte> data, uint64_t crc) noexcept {
  return Update(kCrc64NvmeTables, data, crc);
}

}  // namespace gateway
