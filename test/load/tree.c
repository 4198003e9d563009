/* Names and attributes against a model in memory, in the manner of fsstress: random operations on a
 * small tree, each with the result that Linux gives, and everything looked at compared. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"

#define MAX_ENTRIES 300
#define NAMES 12
#define MAX_DEPTH 6
#define XATTRS 3
#define MAX_XATTR 300
#define MAX_CONTENTS 6000
/* Longest path: every entry below the other. */
#define MAX_PATH (MAX_ENTRIES * 4 + 16)

/* A file, whatever its names. */
struct node {
  mode_t mode;
  uid_t uid;
  gid_t gid;
  dev_t rdev;
  unsigned links;
  /* Contents of regular files and targets of symbolic links: made from `seed`. */
  size_t size;
  uint64_t seed;
  /* Set explicitly and not changed since, else 0. */
  struct timespec mtime;
  int xattr_sizes[XATTRS];
  uint64_t xattr_seeds[XATTRS];
};

/* A name; `directory` is the entry that it is in, NULL for the worker's own directory. */
struct entry {
  struct node* node;
  struct entry* directory;
  char name[16];
};

static struct entry entries[MAX_ENTRIES];
static unsigned char scratch[MAX_CONTENTS];
static unsigned char made[MAX_CONTENTS];

static bool is_used(const struct entry* entry) { return entry->node != NULL; }

static bool is_directory(const struct entry* entry) { return S_ISDIR(entry->node->mode); }

static struct entry* find(const struct entry* directory, const char* name) {
  for (int i = 0; i < MAX_ENTRIES; i++) {
    struct entry* entry = &entries[i];
    if (is_used(entry) && entry->directory == directory && strcmp(entry->name, name) == 0) {
      return entry;
    }
  }
  return NULL;
}

static struct entry* free_entry(void) {
  for (int i = 0; i < MAX_ENTRIES; i++) {
    if (!is_used(&entries[i])) return &entries[i];
  }
  return NULL;
}

static bool is_empty(const struct entry* directory) {
  for (int i = 0; i < MAX_ENTRIES; i++) {
    if (is_used(&entries[i]) && entries[i].directory == directory) return false;
  }
  return true;
}

static int depth(const struct entry* entry) {
  int count = 0;
  for (; entry != NULL; entry = entry->directory) count++;
  return count;
}

/* Whether `entry` is `directory` or somewhere below it. */
static bool is_within(const struct entry* entry, const struct entry* directory) {
  for (; entry != NULL; entry = entry->directory) {
    if (entry == directory) return true;
  }
  return false;
}

/* An entry that exists, or NULL. */
static struct entry* any_entry(void) {
  for (int tries = 0; tries < 40; tries++) {
    struct entry* entry = &entries[random_below(MAX_ENTRIES)];
    if (is_used(entry)) return entry;
  }
  return NULL;
}

static struct entry* any_directory(void) {
  for (int tries = 0; tries < 10; tries++) {
    struct entry* entry = any_entry();
    if (entry != NULL && is_directory(entry) && depth(entry) < MAX_DEPTH) return entry;
  }
  return NULL;
}

/* A name in a directory, whether it exists or not. */
struct place {
  struct entry* directory;
  struct entry* entry;
  char name[16];
  char path[MAX_PATH];
};

static void path_of(const struct entry* entry, char* path) {
  if (entry == NULL) {
    strcpy(path, ".");
    return;
  }
  path_of(entry->directory, path);
  strcat(path, "/");
  strcat(path, entry->name);
}

static void set_place(struct place* place, struct entry* directory, const char* name) {
  place->directory = directory;
  strcpy(place->name, name);
  place->entry = find(directory, name);
  path_of(directory, place->path);
  strcat(place->path, "/");
  strcat(place->path, name);
}

static struct place any_place(void) {
  struct place place;
  struct entry* entry = one_in(2) ? any_entry() : NULL;
  char name[16];
  snprintf(name, sizeof name, "n%u", (unsigned)random_below(NAMES));
  set_place(&place, entry != NULL ? entry->directory : any_directory(),
            entry != NULL ? entry->name : name);
  return place;
}

/* The operation must have failed with `error`, or succeeded when that is 0. True when it succeeded.
 */
static bool expect(int status, int error, const char* what) {
  int got = status < 0 ? errno : 0;
  if (got == error) return got == 0;
  errno = 0;
  fail("%s: expected %s, got %s", what, error ? strerrorname_np(error) : "success",
       got ? strerrorname_np(got) : "success");
}

static void changed(struct node* node) { node->mtime = (struct timespec){0, 0}; }

static void changed_directory(struct entry* directory) {
  if (directory != NULL) changed(directory->node);
}

static void make_bytes(uint64_t seed, unsigned char* into, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (i % 8 == 0) seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    into[i] = (unsigned char)('a' + ((seed >> (i % 8 * 8)) & 15));
  }
}

static void add_entry(const struct place* place, struct node* node) {
  struct entry* entry = free_entry();
  entry->node = node;
  entry->directory = place->directory;
  strcpy(entry->name, place->name);
  node->links++;
  changed_directory(place->directory);
}

static struct node* add_node(const struct place* place, mode_t mode) {
  struct node* node = calloc(1, sizeof *node);
  if (node == NULL) fail("no memory");
  node->mode = mode;
  for (int i = 0; i < XATTRS; i++) node->xattr_sizes[i] = -1;
  add_entry(place, node);
  return node;
}

static void remove_entry(struct entry* entry) {
  changed_directory(entry->directory);
  if (--entry->node->links == 0) free(entry->node);
  entry->node = NULL;
}

static void write_contents(struct node* node, int fd) {
  node->size = one_in(4) ? 0 : random_below(MAX_CONTENTS);
  node->seed = random_number();
  make_bytes(node->seed, made, node->size);
  if (write(fd, made, node->size) != (ssize_t)node->size) fail("write");
  changed(node);
}

static void compare_contents(const struct node* node, int fd) {
  ssize_t count = pread(fd, scratch, sizeof scratch, 0);
  make_bytes(node->seed, made, node->size);
  errno = 0;
  if (count != (ssize_t)node->size || memcmp(scratch, made, node->size) != 0) {
    fail("contents of %zd bytes differ from the %zu written", count, node->size);
  }
}

static void do_create(void) {
  struct place place = any_place();
  mode_t mode = (mode_t)random_below(01000);
  if (free_entry() == NULL) return;
  bool unnamed = one_in(5);
  describe("create %s %o%s", place.path, mode, unnamed ? ", without a name first" : "");
  int fd;
  if (unnamed) {
    char directory[MAX_PATH];
    char link[64];
    path_of(place.directory, directory);
    fd = open(directory, O_TMPFILE | O_RDWR, mode);
    if (fd < 0 && is_unsupported(errno)) return;
    if (fd < 0) fail("O_TMPFILE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int status = linkat(AT_FDCWD, link, AT_FDCWD, place.path, AT_SYMLINK_FOLLOW);
    if (!expect(status, place.entry != NULL ? EEXIST : 0, "link of a file without a name")) {
      close(fd);
      return;
    }
  } else {
    fd = open(place.path, O_CREAT | O_EXCL | O_RDWR, mode);
    if (!expect(fd, place.entry != NULL ? EEXIST : 0, "create")) return;
  }
  struct node* node = add_node(&place, S_IFREG | mode);
  write_contents(node, fd);
  compare_contents(node, fd);
  if (close(fd) != 0) fail("close");
}

static void do_mkdir(void) {
  struct place place = any_place();
  mode_t mode = (mode_t)random_below(01000);
  if (free_entry() == NULL) return;
  describe("mkdir %s %o", place.path, mode);
  int status = mkdir(place.path, mode);
  if (expect(status, place.entry != NULL ? EEXIST : 0, "mkdir")) add_node(&place, S_IFDIR | mode);
}

static void do_symlink(void) {
  struct place place = any_place();
  size_t size = 1 + random_below(one_in(8) ? 4000 : 100);
  uint64_t seed = random_number();
  if (free_entry() == NULL) return;
  describe("symlink %s, %zu bytes", place.path, size);
  make_bytes(seed, made, size);
  made[size] = '\0';
  if (!expect(symlink((char*)made, place.path), place.entry != NULL ? EEXIST : 0, "symlink"))
    return;
  struct node* node = add_node(&place, S_IFLNK | 0777);
  node->size = size;
  node->seed = seed;
}

static void do_mknod(void) {
  struct place place = any_place();
  mode_t mode = (mode_t)(random_below(01000) | (one_in(2) ? S_IFIFO : S_IFCHR));
  dev_t rdev = S_ISCHR(mode) ? makedev(1 + random_below(500), random_below(100000)) : 0;
  if (free_entry() == NULL) return;
  describe("mknod %s %o %llx", place.path, mode, (unsigned long long)rdev);
  int status = mknod(place.path, mode, rdev);
  if (expect(status, place.entry != NULL ? EEXIST : 0, "mknod"))
    add_node(&place, mode)->rdev = rdev;
}

static void do_link(void) {
  struct entry* entry = any_entry();
  struct place place = any_place();
  char path[MAX_PATH];
  if (entry == NULL || free_entry() == NULL) return;
  path_of(entry, path);
  describe("link %s to %s", path, place.path);
  int error = place.entry != NULL ? EEXIST : is_directory(entry) ? EPERM : 0;
  if (expect(link(path, place.path), error, "link")) add_entry(&place, entry->node);
}

static void do_unlink(void) {
  struct place place = any_place();
  describe("unlink %s", place.path);
  int error = place.entry == NULL ? ENOENT : is_directory(place.entry) ? EISDIR : 0;
  if (expect(unlink(place.path), error, "unlink")) remove_entry(place.entry);
}

static void do_rmdir(void) {
  struct place place = any_place();
  describe("rmdir %s", place.path);
  int error = place.entry == NULL          ? ENOENT
              : !is_directory(place.entry) ? ENOTDIR
              : !is_empty(place.entry)     ? ENOTEMPTY
                                           : 0;
  if (expect(rmdir(place.path), error, "rmdir")) remove_entry(place.entry);
}

/* A file that is unlinked while open can still be read and changed. */
static void do_unlink_open(void) {
  struct entry* entry = any_entry();
  char path[MAX_PATH];
  struct stat st;
  if (entry == NULL || !S_ISREG(entry->node->mode)) return;
  path_of(entry, path);
  describe("unlink %s, which is open", path);
  int fd = open(path, O_RDWR);
  if (fd < 0 || unlink(path) != 0) fail("open and unlink");
  compare_contents(entry->node, fd);
  if (fchmod(fd, entry->node->mode & 0777) != 0 || fstat(fd, &st) != 0) fail("fchmod and fstat");
  errno = 0;
  if (st.st_nlink != entry->node->links - 1) fail("has %u links", (unsigned)st.st_nlink);
  close(fd);
  remove_entry(entry);
}

/* What renameat2 says, in the kernel's order of checks. */
static int rename_error(const struct place* from, const struct place* to, unsigned flags) {
  const struct entry* source = from->entry;
  const struct entry* target = to->entry;
  bool exchanges = (flags & RENAME_EXCHANGE) != 0;
  if (source == NULL) return ENOENT;
  if ((flags & RENAME_NOREPLACE) != 0 && target != NULL) return EEXIST;
  if (exchanges && target == NULL) return ENOENT;
  if (is_within(to->directory, source)) return EINVAL;
  if (target != NULL && is_within(from->directory, target)) return exchanges ? EINVAL : ENOTEMPTY;
  if (target == NULL || exchanges || source->node == target->node) return 0;
  if (is_directory(source) && !is_directory(target)) return ENOTDIR;
  if (!is_directory(source) && is_directory(target)) return EISDIR;
  return is_directory(target) && !is_empty(target) ? ENOTEMPTY : 0;
}

static void move_entry(struct entry* entry, const struct place* to) {
  changed_directory(entry->directory);
  changed_directory(to->directory);
  entry->directory = to->directory;
  strcpy(entry->name, to->name);
}

static void do_rename(void) {
  static const unsigned all_flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};
  unsigned flags = all_flags[random_below(5)];
  struct place from = any_place();
  struct place to = any_place();
  if ((flags & RENAME_WHITEOUT) != 0 && free_entry() == NULL) return;
  describe("rename %s to %s, flags %u", from.path, to.path, flags);
  int status = renameat2(AT_FDCWD, from.path, AT_FDCWD, to.path, flags);
  if (status < 0 && errno == EINVAL && flags != 0 && rename_error(&from, &to, flags) == 0) {
    is_unsupported(EOPNOTSUPP);
    return;
  }
  if (!expect(status, rename_error(&from, &to, flags), "rename")) {
    /* ext4 puts the whiteout there before it sees that the target is not empty. */
    if ((flags & RENAME_WHITEOUT) != 0) changed_directory(from.directory);
    return;
  }
  if (to.entry != NULL && to.entry->node == from.entry->node) return;
  if ((flags & RENAME_EXCHANGE) != 0) {
    move_entry(to.entry, &from);
  } else if (to.entry != NULL) {
    remove_entry(to.entry);
  }
  move_entry(from.entry, &to);
  if ((flags & RENAME_WHITEOUT) != 0) add_node(&from, S_IFCHR);
}

static void do_attributes(void) {
  struct entry* entry = any_entry();
  char path[MAX_PATH];
  if (entry == NULL) return;
  struct node* node = entry->node;
  path_of(entry, path);
  unsigned what = (unsigned)random_below(3);
  if (what == 0 && !S_ISLNK(node->mode)) {
    mode_t mode = (mode_t)random_below(01000);
    describe("chmod %s %o", path, mode);
    if (chmod(path, mode) != 0) fail("chmod");
    node->mode = (node->mode & S_IFMT) | mode;
  } else if (what == 1) {
    node->uid = (uid_t)random_below(70000);
    node->gid = (gid_t)random_below(70000);
    describe("chown %s %u:%u", path, node->uid, node->gid);
    if (lchown(path, node->uid, node->gid) != 0) fail("chown");
  } else {
    struct timespec times[2] = {
        {0, UTIME_NOW}, {1 + (time_t)random_below(2000000000), (long)random_below(1000000000)}};
    describe("utimensat %s %lld.%09ld", path, (long long)times[1].tv_sec, times[1].tv_nsec);
    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) != 0) fail("utimensat");
    node->mtime = times[1];
  }
}

static void do_rewrite(void) {
  struct entry* entry = any_entry();
  char path[MAX_PATH];
  if (entry == NULL || !S_ISREG(entry->node->mode)) return;
  path_of(entry, path);
  describe("rewrite %s", path);
  int fd = open(path, O_RDWR | O_TRUNC);
  if (fd < 0) fail("open");
  write_contents(entry->node, fd);
  if (one_in(4) && fsync(fd) != 0) fail("fsync");
  if (close(fd) != 0) fail("close");
}

static void do_xattr(void) {
  struct entry* entry = any_entry();
  char path[MAX_PATH];
  char name[16];
  if (entry == NULL || (!S_ISREG(entry->node->mode) && !is_directory(entry))) return;
  struct node* node = entry->node;
  unsigned which = (unsigned)random_below(XATTRS);
  path_of(entry, path);
  snprintf(name, sizeof name, "user.x%u", which);
  if (one_in(3)) {
    describe("removexattr %s %s", path, name);
    int error = node->xattr_sizes[which] < 0 ? ENODATA : 0;
    if (expect(removexattr(path, name), error, "removexattr")) node->xattr_sizes[which] = -1;
    return;
  }
  static const int all_flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
  int flags = all_flags[random_below(4)];
  int size = (int)random_below(MAX_XATTR);
  uint64_t seed = random_number();
  bool exists = node->xattr_sizes[which] >= 0;
  int error = flags == XATTR_CREATE && exists     ? EEXIST
              : flags == XATTR_REPLACE && !exists ? ENODATA
                                                  : 0;
  describe("setxattr %s %s %d bytes, flags %d", path, name, size, flags);
  make_bytes(seed, made, (size_t)size);
  if (expect(setxattr(path, name, made, (size_t)size, flags), error, "setxattr")) {
    node->xattr_sizes[which] = size;
    node->xattr_seeds[which] = seed;
  }
}

static void check_xattrs(const struct node* node, const char* path) {
  for (int i = 0; i < XATTRS; i++) {
    char name[16];
    snprintf(name, sizeof name, "user.x%d", i);
    ssize_t size = getxattr(path, name, scratch, sizeof scratch);
    if (size < 0 && errno != ENODATA) fail("getxattr");
    errno = 0;
    if (size != node->xattr_sizes[i]) {
      fail("%s has %d bytes, getxattr says %zd", name, node->xattr_sizes[i], size);
    }
    if (size <= 0) continue;
    make_bytes(node->xattr_seeds[i], made, (size_t)size);
    if (memcmp(made, scratch, (size_t)size) != 0) fail("%s has another value", name);
  }
}

static void check_stat(const struct node* node, const struct stat* st) {
  errno = 0;
  if (st->st_mode != node->mode) fail("mode %o is %o", node->mode, st->st_mode);
  if (st->st_uid != node->uid || st->st_gid != node->gid) {
    fail("owner %u:%u is %u:%u", node->uid, node->gid, st->st_uid, st->st_gid);
  }
  if (node->mtime.tv_sec != 0 && memcmp(&node->mtime, &st->st_mtim, sizeof node->mtime) != 0) {
    fail("mtime %lld.%09ld is %lld.%09ld", (long long)node->mtime.tv_sec, node->mtime.tv_nsec,
         (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
  }
  if (S_ISDIR(node->mode)) return;
  if (st->st_nlink != node->links) fail("%u links are %u", node->links, (unsigned)st->st_nlink);
  if (st->st_rdev != node->rdev)
    fail("device %llx is %llx", (unsigned long long)node->rdev, (unsigned long long)st->st_rdev);
  if ((size_t)st->st_size != node->size)
    fail("size %zu is %lld", node->size, (long long)st->st_size);
}

static void check_entry(const struct entry* entry) {
  struct node* node = entry->node;
  struct stat st;
  char path[MAX_PATH];
  path_of(entry, path);
  describe("look at %s, mode %o", path, node->mode);
  if (lstat(path, &st) != 0) fail("lstat");
  check_stat(node, &st);
  if (S_ISREG(node->mode)) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) fail("open");
    compare_contents(node, fd);
    close(fd);
  } else if (S_ISLNK(node->mode)) {
    ssize_t count = readlink(path, (char*)scratch, sizeof scratch);
    make_bytes(node->seed, made, node->size);
    if (count != (ssize_t)node->size || memcmp(scratch, made, node->size) != 0) fail("readlink");
  }
  if (S_ISREG(node->mode) || S_ISDIR(node->mode)) check_xattrs(node, path);
}

static unsigned char type_of(const struct entry* entry) { return IFTODT(entry->node->mode); }

static void check_directory(const struct entry* directory) {
  char path[MAX_PATH];
  int found = 0;
  int wanted = 0;
  path_of(directory, path);
  describe("list %s", path);
  DIR* stream = opendir(path);
  if (stream == NULL) fail("opendir");
  for (struct dirent* item; (errno = 0, item = readdir(stream)) != NULL;) {
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
    const struct entry* entry = find(directory, item->d_name);
    if (entry == NULL) fail("%s is listed", item->d_name);
    if (item->d_type != DT_UNKNOWN && item->d_type != type_of(entry)) {
      fail("%s is listed with type %d", item->d_name, item->d_type);
    }
    found++;
  }
  if (errno != 0) fail("readdir");
  closedir(stream);
  for (int i = 0; i < MAX_ENTRIES; i++) {
    wanted += is_used(&entries[i]) && entries[i].directory == directory;
  }
  if (found != wanted) fail("%d entries of %d are listed", found, wanted);
}

static void do_check(void) {
  struct place place = any_place();
  struct stat st;
  if (place.entry != NULL) {
    check_entry(place.entry);
  } else {
    describe("look for %s", place.path);
    expect(lstat(place.path, &st), ENOENT, "lstat");
  }
}

static void do_list(void) { check_directory(any_directory()); }

static const struct {
  void (*run)(void);
  unsigned weight;
} operations[] = {
    {do_create, 20}, {do_mkdir, 8},  {do_symlink, 5},     {do_mknod, 3},   {do_link, 8},
    {do_unlink, 16}, {do_rmdir, 4},  {do_unlink_open, 3}, {do_rename, 20}, {do_attributes, 12},
    {do_rewrite, 8}, {do_xattr, 10}, {do_check, 30},      {do_list, 6},
};

void run_tree_load(const struct worker* worker) {
  unsigned weights = 0;
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    weights += operations[i].weight;
  while (next_operation(worker)) {
    unsigned at = (unsigned)random_below(weights);
    size_t i = 0;
    for (; at >= operations[i].weight; i++) at -= operations[i].weight;
    operations[i].run();
  }
  check_directory(NULL);
  for (int i = 0; i < MAX_ENTRIES; i++) {
    if (!is_used(&entries[i])) continue;
    check_entry(&entries[i]);
    if (is_directory(&entries[i])) check_directory(&entries[i]);
  }
}
