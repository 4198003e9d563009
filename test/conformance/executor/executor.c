/* Executes file system calls for the conformance suite: requests as lines on stdin, replies on
 * stdout.
 *
 *   ACTOR OPERATION WORD...    runs it in the process ACTOR (forked when first named): "ok
 * VALUE..." or "err ERRNO" !ACTOR OPERATION WORD...   starts it and answers "ok" at once ?ACTOR
 * MILLISECONDS        the reply of what was started, or "pending" begin DIRECTORY            ends
 * all actors and makes a directory, in which the next ones start leave                      ends
 * all actors remove DIRECTORY           deletes a tree
 */
#define _GNU_SOURCE
#include "executor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ACTORS 32
#define MAX_WORDS 64

struct actor {
  char name[32];
  pid_t pid;
  FILE* requests;
  FILE* replies;
};

static struct actor actors[MAX_ACTORS];
static int actor_count;
static char* start_directory;

long long number_at(const struct request* request, int index) {
  if (index >= request->count) return 0;
  return strtoll(request->words[index], NULL, 10);
}

static int hex_digit(char digit) {
  return isdigit((unsigned char)digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

char* bytes_at(const struct request* request, int index, size_t* length) {
  char* word = index < request->count ? request->words[index] : NULL;
  size_t count = 0;
  if (word == NULL) return NULL;
  if (*word == 'x') {
    /* In place, once: what is decoded begins with another character. */
    *word = '\0';
    for (const char* from = word + 1; from[0] && from[1]; from += 2) {
      word[1 + count++] = (char)(hex_digit(from[0]) << 4 | hex_digit(from[1]));
    }
    word[1 + count] = '\0';
  }
  if (length != NULL) *length = count;
  return word + 1;
}

void print_bytes(FILE* out, const void* bytes, size_t length) {
  const unsigned char* from = bytes;
  fputs(" x", out);
  for (size_t i = 0; i < length; i++) fprintf(out, "%02x", from[i]);
}

void print_number(FILE* out, long long value) { fprintf(out, " %lld", value); }

static const struct named_operation* find_operation(const char* name) {
  const struct named_operation* tables[] = {file_operations, name_operations};
  for (size_t table = 0; table < 2; table++) {
    for (const struct named_operation* op = tables[table]; op->name != NULL; op++) {
      if (strcmp(op->name, name) == 0) return op;
    }
  }
  return NULL;
}

static void run_request(char* line, FILE* replies) {
  char* words[MAX_WORDS];
  struct request request = {0, words};
  char* text = NULL;
  size_t size = 0;
  const char* name = strtok(line, " \n");
  for (char* word = strtok(NULL, " \n"); word && request.count < MAX_WORDS;
       word = strtok(NULL, " \n")) {
    words[request.count++] = word;
  }
  const struct named_operation* op = name == NULL ? NULL : find_operation(name);
  if (op == NULL || request.count < op->words) {
    fprintf(replies, "bad request\n");
    fflush(replies);
    return;
  }
  FILE* values = open_memstream(&text, &size);
  errno = 0;
  int status = op->run(&request, values);
  int error = errno;
  fclose(values);
  if (status < 0) {
    fprintf(replies, "err %d\n", error);
  } else {
    fprintf(replies, "ok%s\n", text);
  }
  fflush(replies);
  free(text);
}

static void actor_main(FILE* requests, FILE* replies) {
  char* line = NULL;
  size_t size = 0;
  while (getline(&line, &size, requests) > 0) run_request(line, replies);
  _exit(0);
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static struct actor* start_actor(const char* name) {
  struct actor* actor = &actors[actor_count];
  int in[2], out[2];
  if (actor_count == MAX_ACTORS || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) fail("actor");
  fflush(stdout);
  actor->pid = fork();
  if (actor->pid < 0) fail("fork");
  if (actor->pid == 0) {
    /* Only its own descriptors: it has to see the end of its requests. */
    int requests = dup2(in[0], 3), replies = dup2(out[1], 4);
    closefrom(5);
    if (start_directory != NULL && chdir(start_directory)) fail("chdir");
    actor_main(fdopen(requests, "r"), fdopen(replies, "w"));
  }
  close(in[0]);
  close(out[1]);
  snprintf(actor->name, sizeof actor->name, "%s", name);
  actor->requests = fdopen(in[1], "w");
  actor->replies = fdopen(out[0], "r");
  actor_count++;
  return actor;
}

static struct actor* find_actor(const char* name) {
  for (int i = 0; i < actor_count; i++) {
    if (strcmp(actors[i].name, name) == 0) return &actors[i];
  }
  return start_actor(name);
}

static void end_actors(void) {
  for (int i = 0; i < actor_count; i++) {
    fclose(actors[i].requests);
    fclose(actors[i].replies);
    kill(actors[i].pid, SIGKILL);
    waitpid(actors[i].pid, NULL, 0);
  }
  actor_count = 0;
}

static int remove_entry(const char* path, const struct stat* stat, int type, struct FTW* position) {
  (void)stat;
  (void)type;
  (void)position;
  return remove(path);
}

static void forward_reply(struct actor* actor) {
  char* line = NULL;
  size_t size = 0;
  if (getline(&line, &size, actor->replies) > 0) {
    fputs(line, stdout);
  } else {
    puts("gone");
  }
  free(line);
}

static void await_reply(char* line) {
  const char* name = strtok(line, " \n");
  const char* milliseconds = strtok(NULL, " \n");
  struct actor* actor = find_actor(name);
  struct pollfd wait = {.fd = fileno(actor->replies), .events = POLLIN};
  if (poll(&wait, 1, atoi(milliseconds)) == 1) {
    forward_reply(actor);
  } else {
    puts("pending");
  }
}

static void send_request(char* line, bool wait) {
  char* space = strchr(line, ' ');
  if (space == NULL) {
    puts("bad request");
    return;
  }
  *space = '\0';
  struct actor* actor = find_actor(line);
  fputs(space + 1, actor->requests);
  fflush(actor->requests);
  if (wait) {
    forward_reply(actor);
  } else {
    puts("ok");
  }
}

static void begin(char* line) {
  const char* directory = strtok(line, "\n");
  end_actors();
  free(start_directory);
  start_directory = strdup(directory);
  if (mkdir(directory, 0777) || chmod(directory, 0777)) {
    printf("err %d\n", errno);
  } else {
    puts("ok");
  }
}

static void leave(void) {
  end_actors();
  puts("ok");
}

static void remove_tree(char* line) {
  end_actors();
  int status = nftw(strtok(line, "\n"), remove_entry, 64, FTW_DEPTH | FTW_PHYS);
  printf(status == 0 ? "ok\n" : "err %d\n", errno);
}

int main(void) {
  char* line = NULL;
  size_t size = 0;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  umask(022);
  /* Actors use 3 and 4 for themselves, whatever the parent has open. */
  while (open("/dev/null", O_RDONLY | O_CLOEXEC) < 4) continue;
  while (getline(&line, &size, stdin) > 0) {
    if (strncmp(line, "begin ", 6) == 0) {
      begin(line + 6);
    } else if (strcmp(line, "leave\n") == 0) {
      leave();
    } else if (strncmp(line, "remove ", 7) == 0) {
      remove_tree(line + 7);
    } else if (*line == '?') {
      await_reply(line + 1);
    } else if (*line == '!') {
      send_request(line + 1, false);
    } else {
      send_request(line, true);
    }
    fflush(stdout);
  }
  end_actors();
  free(line);
  return 0;
}
