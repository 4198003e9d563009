// file-lock-check FILE         checks what fcntl(2) and flock(2) promise about locks on FILE, between
//                              processes and between open files; so it is on every local file system
// file-lock-check FILE hold    locks FILE in both ways, waiting for it if need be, and holds it
// file-lock-check FILE try     succeeds if nobody holds FILE in either way

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kHeldMs = 150, kGrantMs = 20000, kWriters = 4, kRounds = 50 };

static const char* path;

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "file-lock-check: line %d: %s: %s\n", __LINE__, #condition,         \
              strerror(errno));                                                           \
      kill(0, SIGTERM);                                                                   \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

// Over FUSE the kernel tells the server of an open file's last close without waiting for it, so what
// such a close unlocks is free soon after and not at once.
#define CHECK_SOON(condition)                                            \
  do {                                                                   \
    for (int waited = 0; waited < kGrantMs && !(condition); waited += 5) \
      poll(NULL, 0, 5);                                                  \
    CHECK(condition);                                                    \
  } while (0)

static int open_file(int flags) {
  const int fd = open(path, flags | O_CREAT, 0644);
  CHECK(fd >= 0);
  return fd;
}

static int lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &range);
}

static struct flock find(int fd, int command, short type, off_t start, off_t length) {
  struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  CHECK(fcntl(fd, command, &range) == 0);
  return range;
}

// A child that runs `body` and then says so in a byte; it lives until it is ended.
struct child {
  pid_t pid;
  int done;
};

static struct child start(void (*body)(int), int argument) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  struct child child = {.pid = fork(), .done = ends[0]};
  CHECK(child.pid >= 0);
  if (child.pid == 0) {
    close(ends[0]);
    body(argument);
    CHECK(write(ends[1], "x", 1) == 1);
    pause();
    exit(1);
  }
  close(ends[1]);
  return child;
}

static int is_done(struct child child, int timeout_ms) {
  struct pollfd ready = {.fd = child.done, .events = POLLIN};
  char byte;
  return poll(&ready, 1, timeout_ms) == 1 && read(child.done, &byte, 1) == 1;
}

static void end(struct child child) {
  kill(child.pid, SIGKILL);
  CHECK(waitpid(child.pid, NULL, 0) == child.pid);
  close(child.done);
}

static void lock_first_ten(int wait) {
  CHECK(lock(open_file(O_RDWR), wait ? F_SETLKW : F_SETLK, F_WRLCK, 0, 10) == 0);
}

static void expect_locked(int fd) {
  CHECK(lock(fd, F_SETLK, F_RDLCK, 5, 1) == -1 && (errno == EAGAIN || errno == EACCES));
  close(fd);
}

static void expect_first_ten_locked(int parent) {
  const int fd = open_file(O_RDWR);
  const struct flock found = find(fd, F_GETLK, F_RDLCK, 5, 100);
  CHECK(found.l_type == F_WRLCK && found.l_start == 0 && found.l_len == 10 && found.l_pid == parent);
  CHECK(find(fd, F_GETLK, F_WRLCK, 10, 0).l_type == F_UNLCK);
  expect_locked(fd);
}

static void between_processes(void) {
  const int fd = open_file(O_RDWR);
  CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 10) == 0);
  const struct child other = start(expect_first_ten_locked, getpid());
  CHECK(is_done(other, kGrantMs));
  end(other);
  // Any close of the file by the process unlocks it.
  close(open_file(O_RDONLY));
  const struct child next = start(lock_first_ten, 0);
  CHECK(is_done(next, kGrantMs));
  CHECK(find(fd, F_GETLK, F_RDLCK, 0, 0).l_pid == next.pid);
  end(next);
  CHECK_SOON(find(fd, F_GETLK, F_RDLCK, 0, 0).l_type == F_UNLCK);
  close(fd);
}

static void waiting(void) {
  const int fd = open_file(O_RDWR);
  CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
  const struct child first = start(lock_first_ten, 1);
  CHECK(!is_done(first, kHeldMs));
  // Unlocking another part does not help it.
  CHECK(lock(fd, F_SETLK, F_UNLCK, 10, 0) == 0);
  CHECK(!is_done(first, kHeldMs));
  CHECK(lock(fd, F_SETLK, F_UNLCK, 9, 1) == 0);
  CHECK(lock(fd, F_SETLK, F_UNLCK, 0, 9) == 0);
  CHECK(is_done(first, kGrantMs));
  const struct child second = start(lock_first_ten, 1);
  CHECK(!is_done(second, kHeldMs));
  // The death of the holder is as good as its unlocking.
  end(first);
  CHECK(is_done(second, kGrantMs));
  end(second);
  close(fd);
}

static void ranges(void) {
  const int fd = open_file(O_RDWR);
  const int other = open_file(O_RDWR);
  const off_t top = INT64_MAX;
  CHECK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 100) == 0);
  CHECK(lock(fd, F_OFD_SETLK, F_UNLCK, 40, 20) == 0);
  CHECK(lock(fd, F_OFD_SETLK, F_RDLCK, 70, 10) == 0);
  struct flock found = find(other, F_OFD_GETLK, F_WRLCK, 35, 0);
  CHECK(found.l_type == F_WRLCK && found.l_start == 0 && found.l_len == 40);
  found = find(other, F_OFD_GETLK, F_RDLCK, 65, 0);
  CHECK(found.l_type == F_WRLCK && found.l_start == 60 && found.l_len == 10);
  found = find(other, F_OFD_GETLK, F_WRLCK, 72, 1);
  CHECK(found.l_type == F_RDLCK && found.l_start == 70 && found.l_len == 10);
  CHECK(find(other, F_OFD_GETLK, F_RDLCK, 70, 10).l_type == F_UNLCK);
  CHECK(lock(fd, F_OFD_SETLK, F_WRLCK, 40, 50) == 0);
  found = find(other, F_OFD_GETLK, F_RDLCK, 0, 0);
  CHECK(found.l_start == 0 && found.l_len == 100);
  CHECK(lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0) == 0);
  // The last byte there is, and everything before it.
  CHECK(lock(fd, F_OFD_SETLK, F_WRLCK, top, 1) == 0);
  CHECK(lock(other, F_OFD_SETLK, F_WRLCK, 0, top) == 0);
  found = find(other, F_OFD_GETLK, F_RDLCK, top, 0);
  CHECK(found.l_type == F_WRLCK && found.l_start == top && found.l_len == 0);
  CHECK(lock(other, F_OFD_SETLK, F_WRLCK, top - 1, 2) == -1 && errno == EAGAIN);
  close(other);
  const int last = open_file(O_RDWR);
  CHECK_SOON(find(last, F_OFD_GETLK, F_WRLCK, 0, top).l_type == F_UNLCK);
  close(last);
  close(fd);
}

static void errors(void) {
  const int reader = open_file(O_RDONLY);
  CHECK(lock(reader, F_SETLK, F_RDLCK, 0, 0) == 0);
  CHECK(lock(reader, F_SETLK, F_WRLCK, 0, 0) == -1 && errno == EBADF);
  CHECK(lock(reader, F_SETLK, 9, 0, 0) == -1 && errno == EINVAL);
  CHECK(lock(reader, F_SETLK, F_RDLCK, -1, 1) == -1 && errno == EINVAL);
  CHECK(lock(reader, F_SETLK, F_RDLCK, 9, -10) == -1 && errno == EINVAL);
  CHECK(lock(reader, F_SETLK, F_RDLCK, 10, -10) == 0);
  CHECK(lock(reader, F_SETLK, F_RDLCK, INT64_MAX, 2) == -1 && errno == EOVERFLOW);
  CHECK(flock(reader, 9) == -1 && errno == EINVAL);
  close(reader);
}

static void lock_two_then_one(int unused) {
  (void)unused;
  const int fd = open_file(O_RDWR);
  CHECK(lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0);
  CHECK(lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0);
}

static void deadlock(void) {
  const int fd = open_file(O_RDWR);
  CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
  const struct child other = start(lock_two_then_one, 0);
  CHECK(!is_done(other, kHeldMs));
  CHECK(lock(fd, F_SETLKW, F_WRLCK, 1, 1) == -1 && errno == EDEADLK);
  CHECK(lock(fd, F_SETLK, F_UNLCK, 0, 0) == 0);
  CHECK(is_done(other, kGrantMs));
  end(other);
  close(fd);
}

static void lock_open_file(int unused) {
  (void)unused;
  CHECK(lock(open_file(O_RDWR), F_OFD_SETLKW, F_WRLCK, 0, 1) == 0);
}

static void open_files(void) {
  const int fd = open_file(O_RDWR);
  const int other = open_file(O_RDWR);
  CHECK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10) == 0);
  CHECK(lock(other, F_OFD_SETLK, F_RDLCK, 0, 10) == -1 && errno == EAGAIN);
  CHECK(lock(other, F_SETLK, F_RDLCK, 0, 10) == -1 && errno == EAGAIN);
  // Other closes of the file do not matter to these locks, the last of this open file does.
  close(other);
  const int copy = dup(fd);
  close(fd);
  const struct child waiter = start(lock_open_file, 0);
  CHECK(!is_done(waiter, kHeldMs));
  // The child has a copy of this open file, too.
  CHECK(lock(copy, F_OFD_SETLK, F_UNLCK, 0, 0) == 0);
  CHECK(is_done(waiter, kGrantMs));
  close(copy);
  end(waiter);
  const int last = open_file(O_RDWR);
  CHECK_SOON(lock(last, F_SETLK, F_WRLCK, 0, 0) == 0);
  close(last);
}

static void flock_exclusive(int unused) {
  (void)unused;
  CHECK(flock(open_file(O_RDWR), LOCK_EX) == 0);
}

static void whole_files(void) {
  const int fd = open_file(O_RDWR);
  const int other = open_file(O_RDONLY);
  CHECK(flock(fd, LOCK_SH) == 0 && flock(other, LOCK_SH | LOCK_NB) == 0);
  CHECK(flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  // The refused conversion has cost the old lock.
  CHECK(flock(other, LOCK_EX | LOCK_NB) == 0);
  CHECK(flock(other, LOCK_UN) == 0 && flock(fd, LOCK_EX) == 0);
  // Locks of fcntl are others.
  CHECK(lock(other, F_OFD_SETLK, F_RDLCK, 0, 0) == 0);
  const struct child first = start(flock_exclusive, 0);
  CHECK(!is_done(first, kHeldMs));
  const int copy = dup(fd);
  CHECK(flock(copy, LOCK_UN) == 0);
  close(copy);
  CHECK(is_done(first, kGrantMs));
  const struct child second = start(flock_exclusive, 0);
  CHECK(!is_done(second, kHeldMs));
  end(first);
  CHECK(is_done(second, kGrantMs));
  CHECK(flock(fd, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  end(second);
  CHECK_SOON(flock(fd, LOCK_EX | LOCK_NB) == 0);
  close(fd);
  close(other);
}

static void count_up(int with_flock) {
  const int fd = open_file(O_RDWR);
  for (int round = 0; round < kRounds; round++) {
    int64_t count = 0;
    CHECK((with_flock ? flock(fd, LOCK_EX) : lock(fd, F_SETLKW, F_WRLCK, 0, 8)) == 0);
    CHECK(pread(fd, &count, sizeof(count), 0) >= 0);
    count++;
    CHECK(pwrite(fd, &count, sizeof(count), 0) == sizeof(count));
    CHECK((with_flock ? flock(fd, LOCK_UN) : lock(fd, F_SETLK, F_UNLCK, 0, 8)) == 0);
  }
}

static void contention(int with_flock) {
  struct child writers[kWriters];
  CHECK(truncate(path, 0) == 0);
  for (int i = 0; i < kWriters; i++) writers[i] = start(count_up, with_flock);
  for (int i = 0; i < kWriters; i++) CHECK(is_done(writers[i], kGrantMs));
  for (int i = 0; i < kWriters; i++) end(writers[i]);
  int64_t count = 0;
  const int fd = open_file(O_RDWR);
  CHECK(pread(fd, &count, sizeof(count), 0) == sizeof(count));
  CHECK(count == kWriters * kRounds);
  close(fd);
}

static int hold_or_try(int hold) {
  const int fd = open_file(O_RDWR);
  if (lock(fd, hold ? F_SETLKW : F_SETLK, F_WRLCK, 0, 0) != 0) return 1;
  if (flock(fd, hold ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) return 1;
  if (hold) pause();
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  path = argv[1];
  if (argc == 3) return hold_or_try(strcmp(argv[2], "hold") == 0);
  setpgid(0, 0);
  between_processes();
  waiting();
  ranges();
  errors();
  deadlock();
  open_files();
  whole_files();
  contention(0);
  contention(1);
  puts("locks are right");
  return 0;
}
