/* One system call per request: what the parts of the executor share. */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stddef.h>
#include <stdio.h>

/* A request's words after the operation's name: decimal numbers, or bytes as "x" and hex digits. */
struct request {
  int count;
  char** words;
};

/* Prints the values of a success to `out`; returns -1 with errno set for a failure. */
typedef int operation(const struct request* request, FILE* out);

struct named_operation {
  const char* name;
  int words;
  operation* run;
};

extern const struct named_operation file_operations[];
extern const struct named_operation name_operations[];

long long number_at(const struct request* request, int index);
/* The bytes of a word, NUL-terminated; they last as long as the request. */
char* bytes_at(const struct request* request, int index, size_t* length);
void print_bytes(FILE* out, const void* bytes, size_t length);
void print_number(FILE* out, long long value);

#endif
