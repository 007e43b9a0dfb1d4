// SPDX-License-Identifier: Apache-2.0
// The guest of the contract suite: serves what plugins/mock/README.md says the mock does, in a real guest over
// AF_VSOCK. init starts it as /etc/mvm/services; it returns when everything listens. With --unix DIR, the same on Unix
// sockets DIR/PORT in the foreground, so that it can be tested without a VM; "ready" on standard output then says so.
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "services.h"
#include "shares.h"

const char* unix_dir = NULL;

// The second port of a pair is for who may not listen below 1024, and the host's forwards: 10000 + TCP port.
static const struct service all[] = {
    {7, serve_echo, false},        {10007, serve_echo, false},    {9, serve_discard, false},
    {10009, serve_discard, false}, {19, serve_pattern, false},    {10019, serve_pattern, false},
    {10080, serve_http, false},    {5252, serve_agent, false},    {2049, serve_shares, false},
    {2050, serve_dial, false},     {2051, serve_commands, false}, {1022, serve_shell, true},
};
enum { SERVICES = sizeof all / sizeof all[0] };

bool parse_port(const char* text, uint32_t* port) {
  char* end;
  if (text[0] < '0' || text[0] > '9') return false;
  errno = 0;
  const unsigned long long value = strtoull(text, &end, 10);
  *port = (uint32_t)value;
  return errno == 0 && *end == '\0' && value <= UINT32_MAX;
}

union address {
  struct sockaddr any;
  struct sockaddr_un un;
  struct sockaddr_vm vm;
};

// below: "" or "host/".
static socklen_t fill_address(union address* address, const char* below, uint32_t cid, uint32_t port) {
  memset(address, 0, sizeof *address);
  if (unix_dir != NULL) {
    address->un.sun_family = AF_UNIX;
    snprintf(address->un.sun_path, sizeof address->un.sun_path, "%s/%s%u", unix_dir, below, port);
    return sizeof address->un;
  }
  address->vm.svm_family = AF_VSOCK;
  address->vm.svm_cid = cid;
  address->vm.svm_port = port;
  return sizeof address->vm;
}

int listen_on(uint32_t port) {
  union address address;
  const socklen_t size = fill_address(&address, "", VMADDR_CID_ANY, port);
  const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (bind(fd, &address.any, size) == 0 && listen(fd, 512) == 0) return fd;
  close(fd);
  return -1;
}

int connect_to_host(uint32_t port) {
  union address address;
  const socklen_t size = fill_address(&address, "host/", VMADDR_CID_HOST, port);
  const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, &address.any, size) == 0) return fd;
  close(fd);
  return -1;
}

static void serve_next(const struct service* service, int listener, const int* listeners, int count) {
  const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (fork() == 0) {
    for (int n = 0; n < count; ++n) close(listeners[n]);
    service->serve(fd);
    exit(0);
  }
  close(fd);
}

_Noreturn void accept_for(const struct service* services, const int* listeners, int count) {
  struct pollfd polled[SERVICES + 1];
  for (int n = 0; n < count; ++n) polled[n] = (struct pollfd){.fd = listeners[n], .events = POLLIN};
  // Outside of a guest, whoever started this has the other end of standard input.
  polled[count] = (struct pollfd){.fd = unix_dir != NULL ? STDIN_FILENO : -1};
  for (;;) {
    if (poll(polled, (nfds_t)count + 1, -1) < 0) continue;
    if (polled[count].revents & POLLHUP) exit(0);
    for (int n = 0; n < count; ++n) {
      if (polled[n].revents != 0) serve_next(&services[n], polled[n].fd, listeners, count);
    }
  }
}

static int listen_on_all(struct service* services, int* listeners) {
  int count = 0;
  for (int n = 0; n < SERVICES; ++n) {
    if (all[n].guest_only && unix_dir != NULL) continue;
    services[count] = all[n];
    listeners[count] = listen_on(all[n].port);
    if (listeners[count] < 0) {
      fprintf(stderr, "contract-guest: port %u: %s\n", all[n].port, strerror(errno));
      exit(1);
    }
    ++count;
  }
  return count;
}

static void parse(int argc, char** argv) {
  for (int n = 1; n < argc; n += 2) {
    if (n + 1 < argc && strcmp(argv[n], "--unix") == 0) {
      unix_dir = argv[n + 1];
    } else if (n + 1 < argc && strcmp(argv[n], "--share") == 0 && add_local_share(argv[n + 1])) {
      continue;
    } else {
      fprintf(stderr, "Usage: contract-guest [--unix DIR [--share TAG=DIR[:ro]]...]\n");
      exit(2);
    }
  }
}

static void announce(void) {
  if (unix_dir != NULL) {
    puts("ready");
    fflush(stdout);
  } else if (fork() != 0) {
    exit(0);
  }
}

int main(int argc, char** argv) {
  struct service services[SERVICES];
  int listeners[SERVICES];
  parse(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);  // nobody waits for the processes of ended connections
  const int count = listen_on_all(services, listeners);
  announce();
  accept_for(services, listeners, count);
}
