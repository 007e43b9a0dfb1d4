// SPDX-License-Identifier: Apache-2.0
#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t read_some(int fd, void* bytes, size_t size) {
  ssize_t n;
  do {
    n = read(fd, bytes, size);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool write_file(int fd, const void* bytes, size_t size) {
  const char* at = bytes;
  while (size > 0) {
    const ssize_t n = write(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    at += n;
    size -= (size_t)n;
  }
  return true;
}

void send_all(int fd, const void* bytes, size_t size) {
  if (!write_file(fd, bytes, size)) exit(0);
}

void send_text(int fd, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (size >= (int)sizeof text) size = sizeof text - 1;
  send_all(fd, text, (size_t)size);
}

void copy_stream(int from, int to) {
  char bytes[65536];
  ssize_t n;
  while ((n = read_some(from, bytes, sizeof bytes)) > 0) send_all(to, bytes, (size_t)n);
  shutdown(to, SHUT_WR);
}

static void make_room(struct reader* in) {
  memmove(in->bytes, in->bytes + in->begin, in->end - in->begin);
  in->end -= in->begin;
  in->begin = 0;
}

static bool read_more(struct reader* in) {
  if (in->end == READER_BYTES) make_room(in);
  const ssize_t n = read_some(in->fd, in->bytes + in->end, READER_BYTES - in->end);
  if (n <= 0) return false;
  in->end += (size_t)n;
  return true;
}

bool reader_fill(struct reader* in) { return in->begin < in->end || read_more(in); }

char* reader_line(struct reader* in, size_t max, bool* too_long) {
  *too_long = false;
  size_t searched = 0;
  for (;;) {
    char* newline = memchr(in->bytes + in->begin + searched, '\n', in->end - in->begin - searched);
    searched = in->end - in->begin;
    if (newline != NULL || searched > max) {
      char* line = in->bytes + in->begin;
      *too_long = newline == NULL || (size_t)(newline - line) > max;
      if (*too_long) return NULL;
      *newline = '\0';
      in->begin = (size_t)(newline - in->bytes) + 1;
      return line;
    }
    if (!read_more(in)) return NULL;
  }
}

size_t reader_take(struct reader* in, const char** bytes, size_t max) {
  if (max == 0 || !reader_fill(in)) return 0;
  const size_t there = in->end - in->begin;
  const size_t n = there < max ? there : max;
  *bytes = in->bytes + in->begin;
  in->begin += n;
  if (in->begin == in->end) in->begin = in->end = 0;
  return n;
}
