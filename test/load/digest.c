/* One hash over a tree: names, types, modes, owners, sizes, links, times of change, devices,
 * targets, extended attributes and contents. Two views of the same tree have the same digest. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"

struct digest {
  bool list;
  uint64_t entries;
  uint64_t bytes;
  uint64_t hash;
};

static uint64_t hash_contents(struct digest* digest, int directory, const char* name) {
  static char buffer[1 << 17];
  uint64_t hash = HASH_START;
  int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW);
  ssize_t count = -1;
  while (fd >= 0 && (count = read(fd, buffer, sizeof buffer)) > 0) {
    hash = hash_bytes(hash, buffer, (size_t)count);
    digest->bytes += (uint64_t)count;
  }
  if (fd < 0 || count < 0) {
    perror(name);
    exit(2);
  }
  close(fd);
  return hash;
}

static int compare_names(const void* a, const void* b) {
  return strcmp(*(char* const*)a, *(char* const*)b);
}

/* The attributes of the user namespace, in order of their names: the others are the host's own. */
static uint64_t hash_xattrs(const char* path) {
  char names[1 << 16];
  char value[1 << 16];
  char* sorted[256];
  size_t count = 0;
  uint64_t hash = HASH_START;
  ssize_t length = llistxattr(path, names, sizeof names);
  for (ssize_t at = 0; at < length && count < 256; at += (ssize_t)strlen(names + at) + 1) {
    if (strncmp(names + at, "user.", 5) == 0) sorted[count++] = names + at;
  }
  qsort(sorted, count, sizeof *sorted, compare_names);
  for (size_t i = 0; i < count; i++) {
    ssize_t size = lgetxattr(path, sorted[i], value, sizeof value);
    hash = hash_bytes(hash, sorted[i], strlen(sorted[i]) + 1);
    hash = hash_bytes(hash, value, size < 0 ? 0 : (size_t)size);
  }
  return hash;
}

static void add_entry(struct digest* digest, int directory, const char* name, const char* path,
                      const struct stat* st) {
  char line[PATH_MAX * 2 + 400];
  char target[PATH_MAX] = "";
  bool is_directory = S_ISDIR(st->st_mode);
  uint64_t contents = S_ISREG(st->st_mode) ? hash_contents(digest, directory, name) : 0;
  if (S_ISLNK(st->st_mode) && readlinkat(directory, name, target, sizeof target - 1) < 0) {
    perror(path);
    exit(2);
  }
  /* What a directory's size and link count are is the file system's own business. */
  int length = snprintf(
      line, sizeof line,
      "%s %o %u:%u links %llu size %lld dev %llx mtime %lld.%09ld %016llx %016llx %s\n", path,
      st->st_mode, st->st_uid, st->st_gid, is_directory ? 0 : (unsigned long long)st->st_nlink,
      is_directory ? 0 : (long long)st->st_size, (unsigned long long)st->st_rdev,
      (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (unsigned long long)hash_xattrs(path),
      (unsigned long long)contents, target);
  digest->entries++;
  digest->hash = hash_bytes(digest->hash, line, (size_t)length);
  if (digest->list) fputs(line, stdout);
}

static int by_bytes(const struct dirent** a, const struct dirent** b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent* entry) {
  return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void walk(struct digest* digest, const char* path) {
  struct dirent** entries;
  int directory = open(path, O_RDONLY | O_DIRECTORY);
  int count = directory < 0 ? -1 : scandirat(directory, ".", &entries, not_dots, by_bytes);
  if (count < 0) {
    perror(path);
    exit(2);
  }
  for (int i = 0; i < count; i++) {
    char below[PATH_MAX];
    struct stat st;
    snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
    if (fstatat(directory, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
      perror(below);
      exit(2);
    }
    add_entry(digest, directory, entries[i]->d_name, below, &st);
    if (S_ISDIR(st.st_mode)) walk(digest, below);
    free(entries[i]);
  }
  free(entries);
  close(directory);
}

int print_digest(const char* directory, bool list) {
  struct digest digest = {.list = list, .hash = HASH_START};
  if (chdir(directory) != 0) {
    perror(directory);
    return 2;
  }
  walk(&digest, ".");
  printf("digest %llu entries %llu bytes %016llx\n", (unsigned long long)digest.entries,
         (unsigned long long)digest.bytes, (unsigned long long)digest.hash);
  return 0;
}
