// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "services.h"
#include "stream.h"

void serve_echo(int fd) { copy_stream(fd, fd); }

void serve_discard(int fd) {
  char bytes[65536];
  while (read_some(fd, bytes, sizeof bytes) > 0) {
  }
}

// RFC 864: lines of 72 of the 95 printable characters, each line one further than the last.
void serve_pattern(int fd) {
  enum { WIDTH = 72, ALPHABET = 95 };
  char period[ALPHABET * (WIDTH + 2)];
  char* at = period;
  for (int line = 0; line < ALPHABET; ++line) {
    for (int column = 0; column < WIDTH; ++column) *at++ = (char)(' ' + (line + column) % ALPHABET);
    *at++ = '\r';
    *at++ = '\n';
  }
  for (;;) send_all(fd, period, sizeof period);
}

void serve_http(int fd) {
  static const char page[] = "<!DOCTYPE html>\n<title>contract guest</title>\n<p>Hello from the contract guest.\n";
  struct reader in = {.fd = fd};
  bool too_long;
  const char* request = reader_line(&in, 8192, &too_long);
  const bool good = request != NULL && strncmp(request, "GET ", 4) == 0 && strstr(request, " HTTP/1.") != NULL;
  for (const char* line = request; line != NULL && line[0] != '\r' && line[0] != '\0';) {
    line = reader_line(&in, 8192, &too_long);
  }
  send_text(fd, "HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
            good ? "200 OK" : "400 Bad Request", good ? strlen(page) : 0, good ? page : "");
}

void serve_shell(int fd) {
  for (int standard = 0; standard <= 2; ++standard) dup2(fd, standard);
  if (fd > 2) close(fd);
  execl("/bin/sh", "sh", (char*)0);
}
