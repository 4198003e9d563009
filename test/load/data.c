/* File data against a model in memory, in the manner of fsx: a few files, random operations through
 * several kinds of handle, and every byte that is read compared. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "load.h"

#define FILES 4
#define MAX_BYTES (768 * 1024)
#define PAGE 4096
#define PAGES_AT_ONCE 32

enum handle { PLAIN, APPEND, DIRECT, READ_ONLY, HANDLES };
static const int open_flags[HANDLES] = {O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_DIRECT, O_RDONLY};

struct file {
  char name[32];
  int handles[HANDLES];
  size_t size;
  /* The contents, and zeros from `size` on. */
  unsigned char bytes[MAX_BYTES];
};

static struct file files[FILES];
static unsigned char* buffer;
static unsigned names;

static struct file* any_file(void) { return &files[random_below(FILES)]; }

/* Small ranges are as likely as large ones. */
static size_t any_length(void) { return 1 + random_below((size_t)1 << (1 + random_below(17))); }

static size_t any_offset(size_t limit) {
  size_t offset = random_below(limit);
  return one_in(4) ? offset & ~(size_t)(PAGE - 1) : offset;
}

static void fill_buffer(size_t length) {
  for (size_t i = 0; i < length; i += 8) {
    uint64_t number = random_number();
    memcpy(buffer + i, &number, 8);
  }
}

/* Opens the handle of a file unless it is open; -1 when the file system has no O_DIRECT. */
static int handle_of(struct file* file, enum handle kind) {
  if (file->handles[kind] < 0) {
    file->handles[kind] = open(file->name, open_flags[kind]);
    if (file->handles[kind] < 0 && !(kind == DIRECT && errno == EINVAL)) {
      fail("open of %s, kind %d", file->name, kind);
    }
  }
  return file->handles[kind];
}

static void close_handle(struct file* file, enum handle kind) {
  if (file->handles[kind] >= 0 && close(file->handles[kind]) != 0) fail("close of %s", file->name);
  file->handles[kind] = -1;
}

static void set_size(struct file* file, size_t size) {
  if (size < file->size) memset(file->bytes + size, 0, file->size - size);
  file->size = size;
}

static void compare(struct file* file, size_t offset, const unsigned char* got, size_t length) {
  if (memcmp(got, file->bytes + offset, length) == 0) return;
  size_t at = 0;
  while (got[at] == file->bytes[offset + at]) at++;
  size_t end = length;
  while (got[end - 1] == file->bytes[offset + end - 1]) end--;
  errno = 0;
  fail("%s of %zu bytes, bytes %zu to %zu differ: %02x is %02x", file->name, file->size,
       offset + at, offset + end, file->bytes[offset + at], got[at]);
}

static void check_size(struct file* file) {
  struct stat st;
  int status = one_in(2) ? stat(file->name, &st) : fstat(handle_of(file, PLAIN), &st);
  if (status != 0) fail("stat of %s", file->name);
  errno = 0;
  if ((size_t)st.st_size != file->size) {
    fail("%s has %zu bytes, stat says %lld", file->name, file->size, (long long)st.st_size);
  }
}

static void read_range(struct file* file, enum handle kind, size_t offset, size_t length) {
  int fd = handle_of(file, kind);
  if (fd < 0) return;
  describe("read %s kind %d at %zu + %zu (size %zu)", file->name, kind, offset, length, file->size);
  size_t wanted = offset >= file->size ? 0 : file->size - offset;
  if (wanted > length) wanted = length;
  ssize_t count = pread(fd, buffer, length, (off_t)offset);
  if (count < 0) fail("read");
  errno = 0;
  if ((size_t)count != wanted) fail("read gave %zd bytes of %zu", count, wanted);
  compare(file, offset, buffer, wanted);
}

static void do_read(struct file* file) {
  size_t offset = any_offset(MAX_BYTES);
  read_range(file, one_in(2) ? PLAIN : READ_ONLY, offset, any_length());
}

static void do_read_all(struct file* file) { read_range(file, READ_ONLY, 0, MAX_BYTES); }

static void store(struct file* file, size_t offset, const unsigned char* from, size_t length) {
  memcpy(file->bytes + offset, from, length);
  if (offset + length > file->size) file->size = offset + length;
}

static void do_write(struct file* file) {
  size_t offset = any_offset(MAX_BYTES);
  size_t length = any_length();
  if (length > MAX_BYTES - offset) length = MAX_BYTES - offset;
  size_t first = random_below(length + 1);
  struct iovec parts[2] = {{buffer, first}, {buffer + first, length - first}};
  describe("write %s at %zu + %zu (size %zu)", file->name, offset, length, file->size);
  fill_buffer(length);
  ssize_t count = pwritev(handle_of(file, PLAIN), parts, 2, (off_t)offset);
  if (count != (ssize_t)length) fail("write gave %zd", count);
  store(file, offset, buffer, length);
}

static void do_append(struct file* file) {
  size_t length = any_length();
  if (file->size + length > MAX_BYTES) return;
  describe("append %s + %zu (size %zu)", file->name, length, file->size);
  fill_buffer(length);
  ssize_t count = write(handle_of(file, APPEND), buffer, length);
  if (count != (ssize_t)length) fail("append gave %zd", count);
  store(file, file->size, buffer, length);
}

/* Reads or writes whole pages past the page cache. */
static void do_direct(struct file* file) {
  int fd = handle_of(file, DIRECT);
  size_t length = PAGE * (1 + random_below(PAGES_AT_ONCE));
  size_t offset = PAGE * random_below((MAX_BYTES - length) / PAGE);
  if (fd < 0) {
    is_unsupported(EOPNOTSUPP);
  } else if (one_in(2)) {
    read_range(file, DIRECT, offset, length);
  } else {
    describe("direct write %s at %zu + %zu (size %zu)", file->name, offset, length, file->size);
    fill_buffer(length);
    if (pwrite(fd, buffer, length, (off_t)offset) != (ssize_t)length) fail("direct write");
    store(file, offset, buffer, length);
  }
}

static void do_truncate(struct file* file) {
  size_t size = one_in(8) ? 0 : any_offset(MAX_BYTES);
  describe("truncate %s to %zu (size %zu)", file->name, size, file->size);
  int status = one_in(2) ? truncate(file->name, (off_t)size)
                         : ftruncate(handle_of(file, PLAIN), (off_t)size);
  if (status != 0) fail("truncate");
  set_size(file, size);
}

static void allocated(struct file* file, int mode, size_t offset, size_t length) {
  size_t end = offset + length;
  if ((mode & FALLOC_FL_COLLAPSE_RANGE) != 0) {
    memmove(file->bytes + offset, file->bytes + end, file->size - end);
    set_size(file, file->size - length);
    return;
  }
  if ((mode & FALLOC_FL_INSERT_RANGE) != 0) {
    memmove(file->bytes + end, file->bytes + offset, file->size - offset);
    memset(file->bytes + offset, 0, length);
    file->size += length;
    return;
  }
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    memset(file->bytes + offset, 0, length);
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > file->size) file->size = end;
}

static void do_fallocate(struct file* file) {
  static const int modes[] = {0,
                              FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_ZERO_RANGE,
                              FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_COLLAPSE_RANGE,
                              FALLOC_FL_INSERT_RANGE};
  int mode = modes[random_below(sizeof modes / sizeof *modes)];
  size_t offset = any_offset(MAX_BYTES);
  size_t length = any_length();
  if (length > MAX_BYTES - offset) length = MAX_BYTES - offset;
  if ((mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0) {
    offset &= ~(size_t)(PAGE - 1);
    length = (length + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (offset + length >= file->size || file->size + length > MAX_BYTES) return;
  }
  describe("fallocate %s mode %x at %zu + %zu (size %zu)", file->name, mode, offset, length,
           file->size);
  if (fallocate(handle_of(file, PLAIN), mode, (off_t)offset, (off_t)length) == 0) {
    allocated(file, mode, offset, length);
  } else if (!is_unsupported(errno)) {
    fail("fallocate");
  }
}

/* Writes or reads through a shared mapping. */
static void do_map(struct file* file) {
  if (file->size == 0) return;
  size_t start = random_below(file->size) & ~(size_t)(PAGE - 1);
  size_t length = file->size - start < 128 * 1024 ? file->size - start : 128 * 1024;
  size_t skip = random_below(length);
  size_t count = 1 + random_below(length - skip);
  bool writes = one_in(2);
  describe("map %s at %zu + %zu, %s %zu + %zu (size %zu)", file->name, start, length,
           writes ? "writes" : "reads", skip, count, file->size);
  unsigned char* map =
      mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, handle_of(file, PLAIN), (off_t)start);
  if (map == MAP_FAILED) fail("mmap");
  if (writes) {
    fill_buffer(count);
    memcpy(map + skip, buffer, count);
    store(file, start + skip, buffer, count);
    if (one_in(2) && msync(map, length, MS_SYNC) != 0) fail("msync");
  }
  compare(file, start, map, length);
  if (munmap(map, length) != 0) fail("munmap");
}

static void do_copy(struct file* from) {
  struct file* to = any_file();
  if (from == to || from->size == 0) return;
  size_t source = any_offset(from->size);
  size_t target = any_offset(MAX_BYTES);
  size_t length = any_length();
  if (length > from->size - source) length = from->size - source;
  if (length > MAX_BYTES - target) length = MAX_BYTES - target;
  describe("copy %s at %zu to %s at %zu + %zu (sizes %zu, %zu)", from->name, source, to->name,
           target, length, from->size, to->size);
  off_t in = (off_t)source;
  off_t out = (off_t)target;
  ssize_t count =
      copy_file_range(handle_of(from, READ_ONLY), &in, handle_of(to, PLAIN), &out, length, 0);
  if (count < 0 && is_unsupported(errno)) return;
  if (count < 0) fail("copy_file_range");
  errno = 0;
  if (count == 0) fail("copy_file_range copied nothing");
  store(to, target, from->bytes + source, (size_t)count);
}

/* Data is not where the model has zeros only, and holes have nothing but zeros. */
static void do_seek(struct file* file) {
  if (file->size == 0) return;
  size_t offset = random_below(file->size);
  int fd = handle_of(file, READ_ONLY);
  describe("seek %s from %zu (size %zu)", file->name, offset, file->size);
  off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
  if (data < 0 && errno != ENXIO) fail("SEEK_DATA");
  size_t end = data < 0 ? file->size : (size_t)data;
  errno = 0;
  for (size_t i = offset; i < end; i++) {
    if (file->bytes[i] != 0) fail("%zu is said to be in a hole", i);
  }
  off_t hole = lseek(fd, (off_t)offset, SEEK_HOLE);
  if (hole < (off_t)offset || hole > (off_t)file->size)
    fail("SEEK_HOLE gave %lld", (long long)hole);
}

/* What is read afterwards comes from the server. */
static void do_sync(struct file* file) {
  int fd = handle_of(file, PLAIN);
  describe("sync %s (size %zu)", file->name, file->size);
  if ((one_in(2) ? fsync(fd) : fdatasync(fd)) != 0) fail("fsync");
  if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) fail("fadvise");
}

static void do_close(struct file* file) {
  enum handle kind = (enum handle)random_below(HANDLES);
  describe("close %s kind %d", file->name, kind);
  close_handle(file, kind);
}

static void do_open_truncating(struct file* file) {
  describe("open %s with O_TRUNC (size %zu)", file->name, file->size);
  int fd = open(file->name, O_WRONLY | O_TRUNC);
  if (fd < 0 || close(fd) != 0) fail("open with O_TRUNC");
  set_size(file, 0);
}

/* The file gets another name under its open handles, now and then over another one. */
static void do_rename(struct file* file) {
  char name[sizeof file->name];
  snprintf(name, sizeof name, "file-%u", names++);
  describe("rename %s to %s", file->name, name);
  if (one_in(2)) {
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || close(fd) != 0) fail("create");
  }
  if (rename(file->name, name) != 0) fail("rename");
  memcpy(file->name, name, sizeof name);
}

/* An open file without a name keeps its contents; a new one takes its place. */
static void do_replace(struct file* file) {
  describe("unlink and create %s (size %zu)", file->name, file->size);
  handle_of(file, READ_ONLY);
  if (unlink(file->name) != 0) fail("unlink");
  do_read_all(file);
  for (int kind = 0; kind < HANDLES; kind++) close_handle(file, (enum handle)kind);
  int fd = open(file->name, O_RDWR | O_CREAT | O_EXCL, 0644);
  if (fd < 0) fail("create");
  file->handles[PLAIN] = fd;
  set_size(file, 0);
}

static const struct {
  void (*run)(struct file* file);
  unsigned weight;
} operations[] = {
    {do_write, 30},   {do_read, 30},      {do_append, 8},  {do_direct, 12},
    {do_truncate, 8}, {do_fallocate, 16}, {do_map, 16},    {do_copy, 8},
    {do_seek, 6},     {do_sync, 8},       {do_close, 8},   {check_size, 8},
    {do_read_all, 3}, {do_rename, 3},     {do_replace, 1}, {do_open_truncating, 1},
};

static void run_any(unsigned weights) {
  unsigned at = (unsigned)random_below(weights);
  for (size_t i = 0;; at -= operations[i++].weight) {
    if (at < operations[i].weight) {
      operations[i].run(any_file());
      return;
    }
  }
}

void run_data_load(const struct worker* worker) {
  unsigned weights = 0;
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    weights += operations[i].weight;
  buffer = aligned_alloc(PAGE, MAX_BYTES + PAGE);
  if (buffer == NULL) fail("no memory");
  for (int i = 0; i < FILES; i++) {
    snprintf(files[i].name, sizeof files[i].name, "file-%u", names++);
    for (int kind = 0; kind < HANDLES; kind++) files[i].handles[kind] = -1;
    files[i].handles[PLAIN] = open(files[i].name, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (files[i].handles[PLAIN] < 0) fail("create");
  }
  while (next_operation(worker)) run_any(weights);
  for (int i = 0; i < FILES; i++) {
    do_sync(&files[i]);
    do_read_all(&files[i]);
    check_size(&files[i]);
  }
}
