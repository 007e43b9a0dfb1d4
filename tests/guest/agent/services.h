// SPDX-License-Identifier: Apache-2.0
// What the contract suite's guest serves. The protocols are in plugins/mock/README.md; command_service.c has its own.
// A service has a connection, and the process, to itself: when it returns, both end.
#pragma once

#include <stdbool.h>
#include <stdint.h>

void serve_echo(int fd);
void serve_discard(int fd);
void serve_pattern(int fd);
void serve_http(int fd);
void serve_agent(int fd);
void serve_shares(int fd);
void serve_dial(int fd);
void serve_commands(int fd);
void serve_shell(int fd);

// Where the services are: in a guest, or, with --unix DIR, in any process, on sockets below DIR. There the host's ports
// are the sockets DIR/host/PORT, and nothing is done to the machine.
extern const char* unix_dir;

int listen_on(uint32_t port);        // a listening descriptor, or -1 and errno
int connect_to_host(uint32_t port);  // a connected one, or -1 and errno
// Forks a process for each connection, for good.
struct service {
  uint32_t port;
  void (*serve)(int fd);
  bool guest_only;
};
_Noreturn void accept_for(const struct service* services, const int* listeners, int count);

// Takes the guest's vsock device away from its driver, for good, and fills its rings with nonsense so often.
void garble_vsock(unsigned rounds);

// A number and nothing else.
bool parse_port(const char* text, uint32_t* port);
