// SPDX-License-Identifier: Apache-2.0
// "DIAL <port>\n": the guest calls the host and joins the two connections.
#include <string.h>
#include <unistd.h>

#include "services.h"
#include "stream.h"

static void send_rest(struct reader* in, int to) {
  if (in->begin < in->end) send_all(to, in->bytes + in->begin, in->end - in->begin);
}

void serve_dial(int fd) {
  struct reader in = {.fd = fd};
  bool too_long;
  uint32_t port;
  const char* line = reader_line(&in, 64, &too_long);
  if (line == NULL || strncmp(line, "DIAL ", 5) != 0 || !parse_port(line + 5, &port)) {
    send_text(fd, "ERR not DIAL <port>\n");
    return;
  }
  const int host = connect_to_host(port);
  if (host < 0) {
    send_text(fd, "ERR refused\n");
    return;
  }
  if (fork() == 0) {
    copy_stream(host, fd);
    return;
  }
  send_rest(&in, host);
  copy_stream(fd, host);
}
