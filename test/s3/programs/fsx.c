// Random changes to a file and to a copy of it on another file system, in the manner of fsx. What is read through
// either way has to be the same.
//
//   fsx FILE COPY OPERATIONS SEED BYTES
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LENGTH (256 * 1024)

static const char *paths[2];
static int fds[2];
static uint64_t state;
static unsigned char buffers[2][MAX_LENGTH];
static long operation;

static void fail(const char *what) {
  fprintf(stderr, "operation %ld: %s: %s\n", operation, what, strerror(errno));
  exit(1);
}

static uint64_t random_below(uint64_t limit) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return limit == 0 ? 0 : (state >> 24) % limit;
}

static void open_both(void) {
  for (int i = 0; i < 2; i++) {
    fds[i] = open(paths[i], O_RDWR | O_CREAT, 0644);
    if (fds[i] < 0) fail("open");
  }
}

static void close_both(void) {
  for (int i = 0; i < 2; i++) {
    if (close(fds[i]) != 0) fail("close");
  }
}

static void fill(size_t length) {
  for (size_t at = 0; at < length; at++) buffers[0][at] = (unsigned char)random_below(256);
}

static void write_both(off_t offset, size_t length) {
  fill(length);
  for (int i = 0; i < 2; i++) {
    if (pwrite(fds[i], buffers[0], length, offset) != (ssize_t)length) fail("pwrite");
  }
}

static off_t size_of(int i) {
  struct stat info;
  if (fstat(fds[i], &info) != 0) fail("fstat");
  return info.st_size;
}

static void compare(off_t offset, size_t length) {
  ssize_t counts[2];
  for (int i = 0; i < 2; i++) {
    counts[i] = pread(fds[i], buffers[i], length, offset);
    if (counts[i] < 0) fail("pread");
  }
  if (counts[0] != counts[1] || memcmp(buffers[0], buffers[1], (size_t)counts[0]) != 0) {
    size_t at = 0;
    while (at < (size_t)counts[0] && buffers[0][at] == buffers[1][at]) at++;
    fprintf(stderr, "operation %ld: differs at %lld of [%lld, %lld): %zd and %zd bytes\n", operation,
            (long long)offset + (long long)at, (long long)offset, (long long)offset + (long long)length,
            counts[0], counts[1]);
    exit(1);
  }
}

static void compare_all(void) {
  const off_t size = size_of(1);
  if (size_of(0) != size) {
    fprintf(stderr, "operation %ld: %lld bytes, not %lld\n", operation, (long long)size_of(0), (long long)size);
    exit(1);
  }
  for (off_t offset = 0; offset < size; offset += MAX_LENGTH) compare(offset, MAX_LENGTH);
}

static void map_both(off_t offset, size_t length) {
  const off_t size = size_of(1);
  if (offset + (off_t)length > size) return;
  const off_t start = offset & ~(off_t)4095;
  fill(length);
  for (int i = 0; i < 2; i++) {
    const size_t mapped = length + (size_t)(offset - start);
    char *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], start);
    if (memory == MAP_FAILED) fail("mmap");
    memcpy(memory + (offset - start), buffers[0], length);
    if (msync(memory, mapped, MS_SYNC) != 0) fail("msync");
    if (munmap(memory, mapped) != 0) fail("munmap");
  }
}

static void step(off_t largest) {
  const size_t length = 1 + random_below(MAX_LENGTH);
  const off_t offset = (off_t)random_below((uint64_t)(largest - (off_t)length));
  switch (random_below(20)) {
    case 0: case 1: case 2: case 3: case 4: case 5:
      write_both(offset, length);
      break;
    case 6: case 7:
      if (size_of(1) + (off_t)length <= largest) write_both(size_of(1), length);
      break;
    case 8:
      {
        const off_t size = size_of(1);
        // Seldom far: most of the file shall stay.
        const off_t to = random_below(10) == 0 ? (off_t)random_below((uint64_t)largest)
                                               : size - (off_t)random_below((uint64_t)(size < 65536 ? size : 65536));
        for (int i = 0; i < 2; i++) {
          if (ftruncate(fds[i], to) != 0) fail("ftruncate");
        }
      }
      break;
    case 9: case 10:
      for (int i = 0; i < 2; i++) {
        if (fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)length) != 0) fail("punch");
      }
      break;
    case 11: case 12:
      map_both(offset, length);
      break;
    case 13:
      if (random_below(4) == 0 && fsync(fds[0]) != 0) fail("fsync");
      break;
    case 14:
      if (random_below(4) == 0) {
        close_both();
        open_both();
      }
      break;
    default:
      compare(offset, length);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: fsx FILE COPY OPERATIONS SEED BYTES\n");
    return 2;
  }
  paths[0] = argv[1];
  paths[1] = argv[2];
  const long operations = atol(argv[3]);
  state = strtoull(argv[4], NULL, 10);
  const off_t largest = atoll(argv[5]);
  open_both();
  for (off_t offset = 0; offset < largest; offset += MAX_LENGTH) {
    write_both(offset, (size_t)(largest - offset < MAX_LENGTH ? largest - offset : MAX_LENGTH));
  }
  for (operation = 1; operation <= operations; operation++) step(largest);
  if (fsync(fds[0]) != 0) fail("fsync");
  compare_all();
  close_both();
  open_both();
  compare_all();
  close_both();
  return 0;
}
