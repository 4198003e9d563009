/* What the load programs have in common: a seeded random source, failing, and the operations' log.
 */
#ifndef TEST_LOAD_LOAD_H_
#define TEST_LOAD_LOAD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One process of the load. */
struct worker {
  /* Its own directory, which is also its working directory. */
  const char* directory;
  uint64_t seed;
  /* CLOCK_MONOTONIC in seconds; 0: until `operations` are done. */
  double deadline;
  uint64_t operations;
};

/* Runs one process of the load until its end; fails the process on anything wrong. */
void run_data_load(const struct worker* worker);
void run_tree_load(const struct worker* worker);
/* Prints "digest ENTRIES BYTES HASH" of a tree, and a line for each entry when `list`. */
int print_digest(const char* directory, bool list);

/* The random source of this process. */
void seed_random(uint64_t seed);
uint64_t random_number(void);
/* From 0 to below `limit`. */
uint64_t random_below(uint64_t limit);
bool one_in(uint64_t count);
/* FNV-1a; `hash` is HASH_START or what came before. */
#define HASH_START 0xcbf29ce484222325ull
uint64_t hash_bytes(uint64_t hash, const void* bytes, size_t length);

/* True while the load goes on; counts one operation. */
bool next_operation(const struct worker* worker);
/* Remembers what the current operation is; the last ones are printed when something fails. */
__attribute__((format(printf, 1, 2))) void describe(const char* format, ...);
/* Ends the process with a message, errno included when it is not 0, and the last operations. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char* format, ...);
/* Counts an operation that the file system does not have; true when `error` says so. */
bool is_unsupported(int error);

#endif
