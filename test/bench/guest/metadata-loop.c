// metadata-loop DIRECTORY SECONDS CLASS: how often a second a program can do what takes no data.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 64, LISTED = 500 };

static void check(int result, const char* what) {
  if (result < 0) {
    fprintf(stderr, "metadata-loop: %s: %s\n", what, strerror(errno));
    exit(1);
  }
}

static const char* name(const char* directory, unsigned i) {
  static char path[64];
  snprintf(path, sizeof path, "%s/%u", directory, i);
  return path;
}

static void touch(const char* path) {
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
  check(fd, path);
  close(fd);
}

static void stat_one(unsigned i) {
  struct stat info;
  check(stat(name("files", i % FILES), &info), "stat");
}
static void open_close(unsigned i) {
  int fd = open(name("files", i % FILES), O_RDONLY);
  check(fd, "open");
  close(fd);
}
static void change_mode(unsigned i) { check(chmod(name("files", i % FILES), 0600 | (i & 077)), "chmod"); }
static void create_unlink(unsigned i) {
  touch("new");
  check(unlink("new"), "unlink");
}
static void mkdir_rmdir(unsigned i) {
  check(mkdir("new", 0755), "mkdir");
  check(rmdir("new"), "rmdir");
}
static void rename_one(unsigned i) {
  check(rename(i % 2 ? "there" : "here", i % 2 ? "here" : "there"), "rename");
}
static void list(unsigned i) {
  DIR* directory = opendir("listed");
  check(directory ? 0 : -1, "opendir");
  struct stat info;
  for (struct dirent* entry; (entry = readdir(directory));) {
    check(fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW), "fstatat");
  }
  closedir(directory);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const struct {
  const char* name;
  void (*once)(unsigned);
} classes[] = {
    {"stat", stat_one},
    {"open-close", open_close},
    {"chmod", change_mode},
    {"create-unlink", create_unlink},
    {"mkdir-rmdir", mkdir_rmdir},
    {"rename", rename_one},
    {"list-500", list},
};

static double measure(void (*once)(unsigned), double seconds) {
  unsigned count = 0;
  double begin = now();
  double end;
  // An even count: rename goes there and back.
  do {
    once(count++);
    once(count++);
  } while ((end = now()) - begin < seconds);
  return count / (end - begin);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  double seconds = atof(argv[2]);
  check(chdir(argv[1]), argv[1]);
  if (mkdir("files", 0755) == 0) {
    for (unsigned i = 0; i < FILES; i++) touch(name("files", i));
    check(mkdir("listed", 0755), "listed");
    for (unsigned i = 0; i < LISTED; i++) touch(name("listed", i));
    touch("here");
  }
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    if (strcmp(classes[i].name, argv[3]) == 0) printf("%.1f\n", measure(classes[i].once, seconds));
  }
  return 0;
}
