#include "native/posix/attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace gateway::posix {
namespace {

// Kernels before 5.8 know no mount ids and leave 0.
constexpr unsigned kMask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

uint32_t EncodeDevice(uint32_t major_number, uint32_t minor_number) {
  return (minor_number & 0xff) | (major_number << 8) | ((minor_number & ~0xffu) << 12);
}

void Store64(AttrWords out, size_t index, uint64_t value) {
  out[index] = static_cast<uint32_t>(value);
  out[index + 1] = static_cast<uint32_t>(value >> 32);
}

void Fill(const struct statx& from, AttrWords out) {
  Store64(out, 0, from.stx_ino);
  Store64(out, 2, from.stx_size);
  Store64(out, 4, from.stx_blocks);
  Store64(out, 6, static_cast<uint64_t>(from.stx_atime.tv_sec));
  Store64(out, 8, static_cast<uint64_t>(from.stx_mtime.tv_sec));
  Store64(out, 10, static_cast<uint64_t>(from.stx_ctime.tv_sec));
  out[12] = from.stx_atime.tv_nsec;
  out[13] = from.stx_mtime.tv_nsec;
  out[14] = from.stx_ctime.tv_nsec;
  out[15] = from.stx_mode;
  out[16] = from.stx_nlink;
  out[17] = from.stx_uid;
  out[18] = from.stx_gid;
  out[19] = EncodeDevice(from.stx_rdev_major, from.stx_rdev_minor);
  out[20] = from.stx_blksize;
  out[21] = 0;
  out[kAttrDev] = EncodeDevice(from.stx_dev_major, from.stx_dev_minor);
  out[kAttrDev + 1] = 0;
  const bool born = (from.stx_mask & STATX_BTIME) != 0;
  Store64(out, kAttrBirth, born ? static_cast<uint64_t>(from.stx_btime.tv_sec) : 0);
  out[kAttrBirthNsec] = born ? from.stx_btime.tv_nsec : 0;
  const bool has_mount = (from.stx_mask & STATX_MNT_ID) != 0;
  out[kAttrMount] = has_mount ? static_cast<uint32_t>(from.stx_mnt_id) : 0;
  // The same numbers as FS_IMMUTABLE_FL and FS_APPEND_FL.
  constexpr uint64_t kProtected = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
  out[kAttrInodeFlags] = static_cast<uint32_t>(from.stx_attributes & kProtected);
}

int Stat(int directory, const char* name, int flags, AttrWords out) {
  struct statx result;
  if (statx(directory, name, flags | AT_NO_AUTOMOUNT, kMask, &result) != 0) return -errno;
  Fill(result, out);
  return 0;
}

}  // namespace

int StatAt(int directory, const char* name, AttrWords out) noexcept {
  return Stat(directory, name, AT_SYMLINK_NOFOLLOW, out);
}

int StatFd(int fd, AttrWords out) noexcept { return Stat(fd, "", AT_EMPTY_PATH, out); }

dev_t DecodeDevice(uint32_t encoded) noexcept {
  return makedev((encoded & 0xfff00) >> 8, (encoded & 0xff) | ((encoded >> 12) & 0xfff00));
}

}  // namespace gateway::posix
