// Copies of regular files with everything that belongs to them, made in as few calls as there can
// be.
#ifndef NATIVE_POSIX_CLONE_H_
#define NATIVE_POSIX_CLONE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "native/posix/attributes.h"

namespace gateway::posix {

struct CloneOptions {
  // Bytes of data to copy at most.
  int64_t size;
  // Extended attributes whose names begin with the first are left out, unless with the second.
  std::string_view skip;
  std::string_view keep;
  // One attribute more, for which a file system that refuses it does without; empty: none.
  const char* xattr;
  std::span<const std::byte> value;
  // fsync(2) at the end.
  bool sync;
};

// A file without a name (O_TMPFILE) on the file system of `directory`, open for reading and
// writing, with data, holes, owner, mode, times and extended attributes of the regular file that
// `source` stands for. Returns its descriptor and leaves its attributes in `out`, or -errno:
// EOPNOTSUPP where the file system has no such files.
[[nodiscard]] int Clone(int source, int directory, const CloneOptions& options,
                        AttrWords out) noexcept;

// Which files CloneInto leaves alone, with EOPNOTSUPP: those with more bytes to copy, with extended
// attributes to be left out, those that chattr protects, and unless `has_names_apart` those that
// have other names as well.
struct CloneLimits {
  int64_t most;
  bool has_names_apart;
};

// As Clone, made in `work` and then named `name` in `directory`, whose times stay as they are.
// Returns a descriptor of the copy as a path (O_PATH).
[[nodiscard]] int CloneInto(int source, int work, const CloneOptions& options,
                            const CloneLimits& limits, int directory, const char* name,
                            AttrWords out) noexcept;

}  // namespace gateway::posix

#endif  // NATIVE_POSIX_CLONE_H_
