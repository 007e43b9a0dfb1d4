/* SPDX-License-Identifier: Apache-2.0 */
/* What listens in the guest that vsock_bench measures, on three vsock ports:
 *   7   sends back what it gets
 *   9   takes everything; when the host sends no more, says how many bytes it were, as a line
 *   19  sends as many bytes as the line that it gets says
 * Started by the guest's init (make-vsock-guest), which waits for its end: it goes to the background once it listens.
 */
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[256 * 1024];

static int write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n <= 0) return -1;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

static void echo(int fd) {
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0 && write_all(fd, buffer, (size_t)n) == 0) {
  }
}

static void discard(int fd) {
  unsigned long long bytes = 0;
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) bytes += (unsigned long long)n;
  char line[32];
  int size = snprintf(line, sizeof line, "%llu\n", bytes);
  write_all(fd, line, (size_t)size);
}

static void generate(int fd) {
  char line[32] = "";
  for (size_t n = 0; n < sizeof line - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n'; ++n) {
  }
  unsigned long long left = strtoull(line, NULL, 10);
  memset(buffer, 'x', sizeof buffer);
  while (left > 0) {
    size_t size = left < sizeof buffer ? (size_t)left : sizeof buffer;
    if (write_all(fd, buffer, size) != 0) return;
    left -= size;
  }
  shutdown(fd, SHUT_WR);
  while (read(fd, buffer, 1) > 0) {
  }
}

static void serve(unsigned port, void (*service)(int)) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 128) != 0) {
    perror("vsock");
    return;
  }
  if (fork() != 0) return;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (fork() == 0) {
      service(fd);
      _exit(0);
    }
    close(fd);
  }
}

int main(void) {
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  serve(7, echo);
  serve(9, discard);
  serve(19, generate);
  return 0;
}
