// mmap-check write|read FILE SIZE
//
// write: creates FILE of SIZE bytes, fills it through a shared mapping, and reads it back with pread.
// read:  compares FILE with the same pattern through a read-only mapping.
// Busybox has nothing that maps files.

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char* what) {
  fprintf(stderr, "mmap-check: %s: %s\n", what, strerror(errno));
  exit(1);
}

// Depends on every byte of the offset, so that pages that changed places are noticed.
static uint8_t pattern(size_t offset) {
  return (uint8_t)((offset * 2654435761u) >> 13 ^ offset >> 20);
}

static void compare(const uint8_t* bytes, size_t start, size_t length, const char* source) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] != pattern(start + i)) {
      fprintf(stderr, "mmap-check: %s: wrong byte at %zu\n", source, start + i);
      exit(1);
    }
  }
}

static void write_file(const char* path, size_t size) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) fail("open");
  if (ftruncate(fd, (off_t)size) != 0) fail("ftruncate");
  uint8_t* map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) fail("mmap");
  for (size_t i = 0; i < size; i++) map[i] = pattern(i);
  if (msync(map, size, MS_SYNC) != 0) fail("msync");

  uint8_t buffer[65536];
  for (size_t offset = 0; offset < size;) {
    ssize_t count = pread(fd, buffer, sizeof buffer, (off_t)offset);
    if (count <= 0) fail("pread");
    compare(buffer, offset, (size_t)count, "pread");
    offset += (size_t)count;
  }
  if (munmap(map, size) != 0) fail("munmap");
  if (close(fd) != 0) fail("close");
}

static void read_file(const char* path, size_t size) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) fail("open");
  struct stat attributes;
  if (fstat(fd, &attributes) != 0) fail("fstat");
  if ((size_t)attributes.st_size != size) {
    fprintf(stderr, "mmap-check: %lld bytes instead of %zu\n", (long long)attributes.st_size, size);
    exit(1);
  }
  uint8_t* map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) fail("mmap");
  compare(map, 0, size, "mapping");
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: mmap-check write|read FILE SIZE\n");
    return 2;
  }
  size_t size = strtoull(argv[3], NULL, 10);
  if (strcmp(argv[1], "write") == 0) write_file(argv[2], size);
  else read_file(argv[2], size);
  return 0;
}
