/* A random load that checks everything it reads, reproducible by its seed.
 *
 *   load run DIR [-p PROCESSES] [-s SEED] [-t SECONDS | -n OPERATIONS]
 *   load digest [-l] DIR
 *
 * "run" starts processes that alternate between file data (data.c) and trees of names (tree.c),
 * each in a directory of its own below DIR, which it makes. It exits with 1 when one of them has
 * found something wrong. "digest" prints a hash over everything that a tree says about itself.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 64
#define LOGGED 24
#define LOG_LINE 200
/* How often the clock is looked at. */
#define OPERATIONS_PER_LOOK 16

static uint64_t random_state;
static char operations_log[LOGGED][LOG_LINE];
static uint64_t described;
static uint64_t done;
static uint64_t unsupported;
static const struct worker* current;

void seed_random(uint64_t seed) { random_state = seed; }

/* splitmix64 */
uint64_t random_number(void) {
  uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

uint64_t random_below(uint64_t limit) { return random_number() % limit; }

bool one_in(uint64_t count) { return random_below(count) == 0; }

uint64_t hash_bytes(uint64_t hash, const void* bytes, size_t length) {
  const unsigned char* from = bytes;
  for (size_t i = 0; i < length; i++) hash = (hash ^ from[i]) * 0x100000001b3ull;
  return hash;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

bool next_operation(const struct worker* worker) {
  done++;
  if (worker->deadline == 0) return done <= worker->operations;
  return done % OPERATIONS_PER_LOOK != 0 || now() < worker->deadline;
}

void describe(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(operations_log[described++ % LOGGED], LOG_LINE, format, arguments);
  va_end(arguments);
}

void fail(const char* format, ...) {
  int error = errno;
  va_list arguments;
  char message[400];
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  printf("WRONG in %s, seed %llu, operation %llu: %s%s%s\n", current->directory,
         (unsigned long long)current->seed, (unsigned long long)done, message, error ? ": " : "",
         error ? strerror(error) : "");
  for (uint64_t i = described > LOGGED ? described - LOGGED : 0; i < described; i++) {
    printf("  %s\n", operations_log[i % LOGGED]);
  }
  fflush(stdout);
  _exit(1);
}

bool is_unsupported(int error) {
  if (error != EOPNOTSUPP && error != ENOSYS) return false;
  unsupported++;
  return true;
}

static void run_worker(struct worker* worker, bool data) {
  current = worker;
  if (mkdir(worker->directory, 0755) != 0 || chdir(worker->directory) != 0) {
    fail("cannot make the directory");
  }
  umask(0);
  seed_random(worker->seed);
  if (data) {
    run_data_load(worker);
  } else {
    run_tree_load(worker);
  }
  printf("%s: %llu operations, seed %llu, %llu not supported\n", worker->directory,
         (unsigned long long)done - 1, (unsigned long long)worker->seed,
         (unsigned long long)unsupported);
  fflush(stdout);
  _exit(0);
}

static int run(const char* directory, int processes, struct worker worker) {
  int failed = 0;
  if (chdir(directory) != 0) {
    perror(directory);
    return 2;
  }
  for (int i = 0; i < processes; i++) {
    char name[32];
    snprintf(name, sizeof name, "%s-%d", i % 2 == 0 ? "data" : "tree", i);
    worker.directory = name;
    pid_t pid = fork();
    if (pid < 0) {
      perror("fork");
      return 2;
    }
    if (pid == 0) run_worker(&worker, i % 2 == 0);
    worker.seed++;
  }
  for (int status; wait(&status) > 0;) failed += status != 0;
  printf("%d of %d processes found something wrong\n", failed, processes);
  return failed == 0 ? 0 : 1;
}

static int usage(void) {
  fputs(
      "usage: load run DIR [-p PROCESSES] [-s SEED] [-t SECONDS | -n OPERATIONS]\n"
      "       load digest [-l] DIR\n",
      stderr);
  return 2;
}

int main(int argc, char** argv) {
  struct worker worker = {.seed = 1, .operations = 10000};
  int processes = 8;
  bool list = false;
  double seconds = 0;
  for (int option; (option = getopt(argc, argv, "p:s:t:n:l")) != -1;) {
    switch (option) {
      case 'p':
        processes = atoi(optarg);
        break;
      case 's':
        worker.seed = strtoull(optarg, NULL, 10);
        break;
      case 't':
        seconds = atof(optarg);
        break;
      case 'n':
        worker.operations = strtoull(optarg, NULL, 10);
        break;
      case 'l':
        list = true;
        break;
      default:
        return usage();
    }
  }
  if (argc - optind != 2 || processes < 1 || processes > MAX_PROCESSES) return usage();
  const char* directory = argv[optind + 1];
  if (strcmp(argv[optind], "digest") == 0) return print_digest(directory, list);
  if (strcmp(argv[optind], "run") != 0) return usage();
  if (seconds > 0) worker.deadline = now() + seconds;
  return run(directory, processes, worker);
}
