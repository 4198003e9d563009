// direct-io-check FILE
//
// Writes FILE with O_DIRECT in pieces that busybox's dd cannot make (odd offsets, an overwrite in the
// middle, a vector of buffers) and reads it back both with O_DIRECT and through the page cache.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kBlock = 4096, kBlocks = 512, kSize = kBlock * kBlocks };

static void fail(const char* what) {
  fprintf(stderr, "direct-io-check: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint8_t* allocate(void) {
  void* memory = NULL;
  if (posix_memalign(&memory, kBlock, kSize) != 0) fail("posix_memalign");
  return memset(memory, 0, kSize);
}

static int open_file(const char* path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) fail("open");
  return fd;
}

static void write_blocks(int fd, const uint8_t* data, size_t first, size_t count) {
  const ssize_t length = (ssize_t)(count * kBlock);
  const off_t offset = (off_t)(first * kBlock);
  if (pwrite(fd, data + offset, (size_t)length, offset) != length) fail("pwrite");
}

static void check(const char* path, int flags, const uint8_t* expected) {
  uint8_t* actual = allocate();
  int fd = open_file(path, O_RDONLY | flags);
  for (size_t done = 0; done < kSize;) {
    ssize_t count = pread(fd, actual + done, kSize - done, (off_t)done);
    if (count <= 0) fail("pread");
    done += (size_t)count;
  }
  if (memcmp(actual, expected, kSize) != 0) {
    fprintf(stderr, "direct-io-check: wrong data %s\n", flags ? "with O_DIRECT" : "from the cache");
    exit(1);
  }
  close(fd);
  free(actual);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: direct-io-check FILE\n");
    return 2;
  }
  uint8_t* data = allocate();
  for (size_t i = 0; i < kSize; i++) data[i] = (uint8_t)(i * 31 + i / kBlock);

  int fd = open_file(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT);
  write_blocks(fd, data, 256, 256);
  write_blocks(fd, data, 0, 255);
  write_blocks(fd, data, 255, 1);
  // The cache now holds the file; direct writes below it must not leave stale pages.
  check(argv[1], 0, data);
  memset(data + 100 * kBlock, 0xa5, 7 * kBlock);
  write_blocks(fd, data, 100, 7);

  memset(data + 300 * kBlock, 0x5a, 3 * kBlock);
  struct iovec parts[] = {{data + 300 * kBlock, kBlock}, {data + 301 * kBlock, 2 * kBlock}};
  if (pwritev(fd, parts, 2, 300 * kBlock) != 3 * kBlock) fail("pwritev");
  close(fd);

  check(argv[1], O_DIRECT, data);
  check(argv[1], 0, data);
  return 0;
}
