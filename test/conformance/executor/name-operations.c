/* System calls on paths. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "executor.h"

#define N(index) number_at(request, index)
#define PATH(index) bytes_at(request, index, NULL)
#define OP(name) static int op_##name(const struct request* request, FILE* out)
#define IGNORE_OUT (void)out
#define MAX_VALUE 131072

OP(open) {
  int fd = open(PATH(0), (int)N(1), (mode_t)N(2));
  if (fd < 0) return -1;
  print_number(out, fd);
  return 0;
}

OP(mkdir) {
  IGNORE_OUT;
  return mkdir(PATH(0), (mode_t)N(1));
}

OP(rmdir) {
  IGNORE_OUT;
  return rmdir(PATH(0));
}

OP(unlink) {
  IGNORE_OUT;
  return unlink(PATH(0));
}

OP(symlink) {
  IGNORE_OUT;
  return symlink(PATH(0), PATH(1));
}

/* old new flags */
OP(link) {
  IGNORE_OUT;
  return linkat(AT_FDCWD, PATH(0), AT_FDCWD, PATH(1), (int)N(2));
}

/* from prefix count */
OP(link_many) {
  char path[PATH_MAX];
  IGNORE_OUT;
  for (long long index = 0; index < N(2); index++) {
    snprintf(path, sizeof path, "%s%lld", PATH(1), index);
    if (link(PATH(0), path)) return -1;
  }
  return 0;
}

OP(linkfd) {
  IGNORE_OUT;
  return linkat((int)N(0), "", AT_FDCWD, PATH(1), AT_EMPTY_PATH);
}

OP(rename) {
  IGNORE_OUT;
  return (int)syscall(SYS_renameat2, AT_FDCWD, PATH(0), AT_FDCWD, PATH(1), (unsigned)N(2));
}

/* path mode major minor */
OP(mknod) {
  IGNORE_OUT;
  return mknod(PATH(0), (mode_t)N(1), makedev((unsigned)N(2), (unsigned)N(3)));
}

OP(readlink) {
  char target[PATH_MAX + 1];
  ssize_t length = readlink(PATH(0), target, sizeof target);
  if (length < 0) return -1;
  print_bytes(out, target, (size_t)length);
  return 0;
}

static int print_stat(FILE* out, int at, const char* path, int flags) {
  struct statx s;
  if (statx(at, path, flags, STATX_BASIC_STATS | STATX_BTIME, &s)) return -1;
  long long values[] = {
      (long long)s.stx_ino,
      s.stx_mode,
      s.stx_nlink,
      s.stx_uid,
      s.stx_gid,
      s.stx_rdev_major,
      s.stx_rdev_minor,
      (long long)s.stx_size,
      (long long)s.stx_blocks,
      s.stx_blksize,
      s.stx_atime.tv_sec,
      s.stx_atime.tv_nsec,
      s.stx_mtime.tv_sec,
      s.stx_mtime.tv_nsec,
      s.stx_ctime.tv_sec,
      s.stx_ctime.tv_nsec,
      s.stx_mask & STATX_BTIME ? s.stx_btime.tv_sec : -1,
      (long long)makedev(s.stx_dev_major, s.stx_dev_minor),
  };
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) print_number(out, values[i]);
  return 0;
}

/* path flags */
OP(stat) { return print_stat(out, AT_FDCWD, PATH(0), (int)N(1)); }

OP(fstat) { return print_stat(out, (int)N(0), "", AT_EMPTY_PATH); }

OP(chmod) {
  IGNORE_OUT;
  return chmod(PATH(0), (mode_t)N(1));
}

/* path uid gid flags */
OP(chown) {
  IGNORE_OUT;
  return fchownat(AT_FDCWD, PATH(0), (uid_t)N(1), (gid_t)N(2), (int)N(3));
}

OP(truncate) {
  IGNORE_OUT;
  return truncate(PATH(0), N(1));
}

/* path atime nsec mtime nsec flags */
OP(utimens) {
  struct timespec times[2] = {{N(1), N(2)}, {N(3), N(4)}};
  IGNORE_OUT;
  return utimensat(AT_FDCWD, PATH(0), times, (int)N(5));
}

/* path mask, by the effective ids */
OP(access) {
  IGNORE_OUT;
  return faccessat(AT_FDCWD, PATH(0), (int)N(1), AT_EACCESS);
}

OP(statfs) {
  struct statfs s;
  if (statfs(PATH(0), &s)) return -1;
  long long values[] = {(long long)s.f_blocks,
                        (long long)s.f_bfree,
                        (long long)s.f_bavail,
                        (long long)s.f_files,
                        (long long)s.f_ffree,
                        s.f_bsize,
                        s.f_namelen};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) print_number(out, values[i]);
  return 0;
}

/* path name value flags follow? */
OP(setxattr) {
  size_t length;
  const char* value = bytes_at(request, 2, &length);
  IGNORE_OUT;
  if (N(4)) return setxattr(PATH(0), PATH(1), value, length, (int)N(3));
  return lsetxattr(PATH(0), PATH(1), value, length, (int)N(3));
}

/* path name size follow? */
OP(getxattr) {
  static char value[MAX_VALUE];
  size_t size = (size_t)N(2);
  const char* path = PATH(0);
  const char* name = PATH(1);
  ssize_t length = N(3) ? getxattr(path, name, value, size) : lgetxattr(path, name, value, size);
  if (length < 0) return -1;
  print_number(out, length);
  print_bytes(out, value, size == 0 ? 0 : (size_t)length);
  return 0;
}

/* path size follow? */
OP(listxattr) {
  static char names[MAX_VALUE];
  size_t size = (size_t)N(1);
  const char* path = PATH(0);
  ssize_t length = N(2) ? listxattr(path, names, size) : llistxattr(path, names, size);
  if (length < 0) return -1;
  print_number(out, length);
  print_bytes(out, names, size == 0 ? 0 : (size_t)length);
  return 0;
}

OP(removexattr) {
  IGNORE_OUT;
  return N(2) ? removexattr(PATH(0), PATH(1)) : lremovexattr(PATH(0), PATH(1));
}

OP(chdir) {
  IGNORE_OUT;
  return chdir(PATH(0));
}

/* prefix directory rounds: makes, renames, links, writes and deletes files beside others that do
 * so. */
OP(churn) {
  const char* prefix = PATH(0);
  const char* directory = PATH(1);
  char first[PATH_MAX], second[PATH_MAX];
  for (long long round = 0; round < N(2); round++) {
    snprintf(first, sizeof first, "%s/%s-%lld", directory, prefix, round);
    snprintf(second, sizeof second, "%s/%s+%lld", directory, prefix, round);
    int fd = open(first, O_CREAT | O_EXCL | O_RDWR, 0644);
    if (fd < 0 || write(fd, prefix, 1) != 1 || close(fd)) return -1;
    if (rename(first, second) || link(second, first) || unlink(second)) return -1;
    if (round % 2 == 0 && unlink(first)) return -1;
  }
  print_number(out, N(2));
  return 0;
}

const struct named_operation name_operations[] = {
    {"open", 3, op_open},
    {"mkdir", 2, op_mkdir},
    {"rmdir", 1, op_rmdir},
    {"unlink", 1, op_unlink},
    {"symlink", 2, op_symlink},
    {"link", 3, op_link},
    {"linkMany", 3, op_link_many},
    {"linkfd", 2, op_linkfd},
    {"rename", 3, op_rename},
    {"mknod", 4, op_mknod},
    {"readlink", 1, op_readlink},
    {"stat", 2, op_stat},
    {"fstat", 1, op_fstat},
    {"chmod", 2, op_chmod},
    {"chown", 4, op_chown},
    {"truncate", 2, op_truncate},
    {"utimens", 6, op_utimens},
    {"access", 2, op_access},
    {"statfs", 1, op_statfs},
    {"setxattr", 5, op_setxattr},
    {"getxattr", 4, op_getxattr},
    {"listxattr", 3, op_listxattr},
    {"removexattr", 3, op_removexattr},
    {"chdir", 1, op_chdir},
    {"churn", 3, op_churn},
    {NULL, 0, NULL},
};
