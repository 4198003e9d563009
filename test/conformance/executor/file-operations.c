/* System calls on descriptors, and those that change the process. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

#define N(index) number_at(request, index)
#define FD ((int)N(0))
#define OP(name) static int op_##name(const struct request* request, FILE* out)
#define IGNORE_OUT (void)out
#define DIRECT_ALIGNMENT 4096

static int print_result(FILE* out, long long value) {
  if (value < 0) return -1;
  print_number(out, value);
  return 0;
}

/* uid gid umask group...: uid 0 stays the saved one, so that the way back is open. */
OP(cred) {
  gid_t groups[16];
  int count = 0;
  IGNORE_OUT;
  for (int i = 3; i < request->count && count < 16; i++) groups[count++] = (gid_t)N(i);
  if (setresuid(0, 0, 0) || setgroups((size_t)count, groups)) return -1;
  gid_t gid = (gid_t)N(1);
  uid_t uid = (uid_t)N(0);
  if (setresgid(gid, gid, gid)) return -1;
  umask((mode_t)N(2));
  return setresuid(uid, uid, 0);
}

OP(close) {
  IGNORE_OUT;
  return close(FD);
}

OP(dup) { return print_result(out, dup(FD)); }

/* fd length offset: offset -1 means the file's own position. */
/* Where O_DIRECT can read to and write from. */
static char* aligned_buffer(size_t length) {
  return aligned_alloc(DIRECT_ALIGNMENT, (length / DIRECT_ALIGNMENT + 1) * DIRECT_ALIGNMENT);
}

OP(read) {
  size_t length = (size_t)N(1);
  char* buffer = aligned_buffer(length);
  ssize_t count = N(2) == -1 ? read(FD, buffer, length) : pread(FD, buffer, length, N(2));
  if (count >= 0) print_bytes(out, buffer, (size_t)count);
  int error = errno;
  free(buffer);
  errno = error;
  return count < 0 ? -1 : 0;
}

OP(write) {
  size_t length;
  const char* data = bytes_at(request, 1, &length);
  char* buffer = aligned_buffer(length);
  memcpy(buffer, data, length);
  ssize_t count = N(2) == -1 ? write(FD, buffer, length) : pwrite(FD, buffer, length, N(2));
  int error = errno;
  free(buffer);
  errno = error;
  return print_result(out, count);
}

OP(lseek) { return print_result(out, lseek(FD, N(1), (int)N(2))); }

OP(ftruncate) {
  IGNORE_OUT;
  return ftruncate(FD, N(1));
}

OP(fallocate) {
  IGNORE_OUT;
  return fallocate(FD, (int)N(1), N(2), N(3));
}

OP(fsync) {
  IGNORE_OUT;
  return N(1) ? fdatasync(FD) : fsync(FD);
}

OP(syncfs) {
  IGNORE_OUT;
  return syncfs(FD);
}

OP(fchmod) {
  IGNORE_OUT;
  return fchmod(FD, (mode_t)N(1));
}

OP(fchown) {
  IGNORE_OUT;
  return fchown(FD, (uid_t)N(1), (gid_t)N(2));
}

OP(futimens) {
  struct timespec times[2] = {{N(1), N(2)}, {N(3), N(4)}};
  IGNORE_OUT;
  return futimens(FD, times);
}

/* fd bytes: name ino offset type, ... */
OP(getdents) {
  size_t size = (size_t)N(1);
  char* buffer = malloc(size + 1);
  long count = syscall(SYS_getdents64, FD, buffer, size);
  int error = errno;
  for (long at = 0; at < count;) {
    const struct dirent64* entry = (const struct dirent64*)(buffer + at);
    print_bytes(out, entry->d_name, strlen(entry->d_name));
    print_number(out, (long long)entry->d_ino);
    print_number(out, entry->d_off);
    print_number(out, entry->d_type);
    at += entry->d_reclen;
  }
  free(buffer);
  errno = error;
  return count < 0 ? -1 : 0;
}

/* fd command type start length -> type start length pid of F_GETLK */
OP(fcntl_lock) {
  struct flock lock = {.l_type = (short)N(2), .l_whence = SEEK_SET, .l_start = N(3), .l_len = N(4)};
  if (fcntl(FD, (int)N(1), &lock)) return -1;
  print_number(out, lock.l_type);
  print_number(out, lock.l_start);
  print_number(out, lock.l_len);
  print_number(out, lock.l_pid);
  return 0;
}

OP(flock) {
  IGNORE_OUT;
  return flock(FD, (int)N(1));
}

/* from fd, offset, to fd, offset, length */
OP(copy_file_range) {
  off_t from = N(1), to = N(3);
  return print_result(out, copy_file_range(FD, &from, (int)N(2), &to, (size_t)N(4), 0));
}

OP(getflags) {
  int flags = 0;
  if (ioctl(FD, FS_IOC_GETFLAGS, &flags)) return -1;
  print_number(out, flags);
  return 0;
}

OP(setflags) {
  int flags = (int)N(1);
  IGNORE_OUT;
  return ioctl(FD, FS_IOC_SETFLAGS, &flags);
}

/* fd length write?: maps the file shared and reads it, or fills it with a byte. */
OP(mmap) {
  size_t length = (size_t)N(1);
  int protection = N(2) ? PROT_READ | PROT_WRITE : PROT_READ;
  char* map = mmap(NULL, length, protection, MAP_SHARED, FD, 0);
  if (map == MAP_FAILED) return -1;
  if (N(2)) memset(map, (int)N(3), length);
  print_bytes(out, map, length);
  return munmap(map, length);
}

const struct named_operation file_operations[] = {
    {"cred", 3, op_cred},
    {"close", 1, op_close},
    {"dup", 1, op_dup},
    {"read", 3, op_read},
    {"write", 3, op_write},
    {"lseek", 3, op_lseek},
    {"ftruncate", 2, op_ftruncate},
    {"fallocate", 4, op_fallocate},
    {"fsync", 2, op_fsync},
    {"syncfs", 1, op_syncfs},
    {"fchmod", 2, op_fchmod},
    {"fchown", 3, op_fchown},
    {"futimens", 5, op_futimens},
    {"getdents", 2, op_getdents},
    {"fcntlLock", 5, op_fcntl_lock},
    {"flock", 2, op_flock},
    {"copyFileRange", 5, op_copy_file_range},
    {"getFlags", 1, op_getflags},
    {"setFlags", 2, op_setflags},
    {"mmap", 4, op_mmap},
    {NULL, 0, NULL},
};
