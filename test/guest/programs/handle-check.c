// handle-check MOUNT COMMAND PATH...
//
// Does what an NFS server does: takes the file handle of each PATH, runs COMMAND, has the kernel
// forget what it does not use, and opens each handle again. Prints a line for each: the path, and
// type and size of what was opened, or the errno.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATHS 16

static void fail(const char* what) {
  fprintf(stderr, "handle-check: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void forget(void) {
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  sync();
  if (fd < 0 || write(fd, "3", 1) != 1) fail("drop_caches");
  close(fd);
}

int main(int argc, char** argv) {
  static union {
    struct file_handle handle;
    char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  } handles[MAX_PATHS];
  int mount;
  if (argc < 4 || argc - 3 > MAX_PATHS) return 2;
  for (int i = 3; i < argc; i++) {
    struct file_handle* handle = &handles[i - 3].handle;
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, argv[i], handle, &mount, 0) != 0) fail(argv[i]);
  }
  if (system(argv[2]) != 0) fail(argv[2]);
  forget();
  int root = open(argv[1], O_RDONLY | O_DIRECTORY);
  if (root < 0) fail(argv[1]);
  for (int i = 3; i < argc; i++) {
    struct stat st;
    int fd = open_by_handle_at(root, &handles[i - 3].handle, O_RDONLY);
    if (fd < 0) {
      printf("%s: %s\n", argv[i], strerrorname_np(errno));
    } else if (fstat(fd, &st) != 0) {
      fail(argv[i]);
    } else if (S_ISDIR(st.st_mode)) {
      printf("%s: directory\n", argv[i]);
    } else {
      printf("%s: file of %lld bytes\n", argv[i], (long long)st.st_size);
    }
  }
  return 0;
}
