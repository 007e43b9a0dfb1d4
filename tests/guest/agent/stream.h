// SPDX-License-Identifier: Apache-2.0
// Blocking streams, one process each. Whatever goes wrong with a stream ends its process: there is nobody to tell.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { READER_BYTES = 65536 };

struct reader {
  int fd;
  size_t begin, end;
  char bytes[READER_BYTES];
};

// What has come, or comes next: false at the end. The bytes stay in the reader until taken.
bool reader_fill(struct reader* in);
// The next line without its newline, ended by a zero, valid until the next call. NULL at the end, which a line over max
// bytes is too: too_long then says so.
char* reader_line(struct reader* in, size_t max, bool* too_long);
// Up to max bytes, at *bytes: 0 at the end.
size_t reader_take(struct reader* in, const char** bytes, size_t max);

ssize_t read_some(int fd, void* bytes, size_t size);  // with EINTR tried again; -1 is an error
bool write_file(int fd, const void* bytes, size_t size);
void send_all(int fd, const void* bytes, size_t size);
void send_text(int fd, const char* format, ...) __attribute__((format(printf, 2, 3)));
void copy_stream(int from, int to);  // until the end of from, which then is to's
