// SPDX-License-Identifier: Apache-2.0
// For tests of what a guest does to its host. Lines; each is answered by "OK" or "ERR <reason>", then it happens:
//   panic, poweroff, reboot      at once
//   console TEXT                 TEXT on the console, as a line
//   flood-console N              "flood 1" to "flood N", each on a line
//   listen PORT [DELAY_MS]       an echo there from now on, or after a while
//   garble-vsock N               takes the vsock device from its driver and fills its rings with nonsense, N times;
//   then says
//                                "garbled" on the console. vsock is gone for good
// Two are answered when they are through:
//   flood PORT SIZE              connects to the host's port and writes blocks of SIZE bytes, 0 1 2 … 250 0 1 …,
//   reading
//                                nothing, until the host ends it: "OK <bytes>"
//   open PORT N                  connects N times to the host's port: "OK <open> <refused>"; they are open until this
//                                connection ends
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "services.h"
#include "stream.h"

static void panic(void) {
  FILE* trigger = fopen("/proc/sysrq-trigger", "w");
  if (trigger != NULL) {
    fputs("c", trigger);
    fclose(trigger);
  }
}

static void do_to_machine(int fd, const char* verb) {
  if (unix_dir != NULL) {
    send_text(fd, "ERR this is no guest\n");
    return;
  }
  send_text(fd, "OK\n");
  if (strcmp(verb, "panic") == 0) {
    panic();
    return;
  }
  sync();
  reboot(strcmp(verb, "poweroff") == 0 ? RB_POWER_OFF : RB_AUTOBOOT);
}

static FILE* open_console(void) {
  char path[4096] = "/dev/console";
  if (unix_dir != NULL) snprintf(path, sizeof path, "%s/console", unix_dir);
  return fopen(path, "a");
}

static void print_line(int fd, const char* text) {
  FILE* console = open_console();
  if (console == NULL) {
    send_text(fd, "ERR the console cannot be opened\n");
    return;
  }
  send_text(fd, "OK\n");
  fprintf(console, "%s\n", text);
  fclose(console);
}

static void flood_console(int fd, const char* count) {
  FILE* console = open_console();
  if (console == NULL) {
    send_text(fd, "ERR the console cannot be opened\n");
    return;
  }
  send_text(fd, "OK\n");
  const unsigned long lines = strtoul(count, NULL, 10);
  for (unsigned long n = 1; n <= lines; ++n) fprintf(console, "flood %lu\n", n);
  fclose(console);
}

static void sleep_ms(unsigned long ms) {
  struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0) {
  }
}

_Noreturn static void echo_on(uint32_t port, int listener) {
  const struct service echo = {.port = port, .serve = serve_echo};
  accept_for(&echo, &listener, 1);
}

// The listener outlives this connection, in a process of its own.
static void listen_later(int fd, char* arguments) {
  const char* port_text = strtok(arguments, " ");
  const char* delay = strtok(NULL, " ");
  uint32_t port;
  if (port_text == NULL || !parse_port(port_text, &port)) {
    send_text(fd, "ERR not listen <port> [<ms>]\n");
    return;
  }
  const int listener = delay == NULL ? listen_on(port) : -1;
  if (delay == NULL && listener < 0) {
    send_text(fd, "ERR the port is taken\n");
    return;
  }
  if (fork() == 0) {
    close(fd);
    if (delay != NULL) sleep_ms(strtoul(delay, NULL, 10));
    const int late = delay == NULL ? listener : listen_on(port);
    if (late >= 0) echo_on(port, late);
    exit(1);
  }
  if (listener >= 0) close(listener);
  send_text(fd, "OK\n");
}

// In a process of its own: this connection ends with the device.
static void garble(int fd, const char* rounds) {
  if (unix_dir != NULL) {
    send_text(fd, "ERR this is no guest\n");
    return;
  }
  send_text(fd, "OK\n");
  if (fork() != 0) return;
  close(fd);
  FILE* console = open_console();
  if (console == NULL) exit(1);
  dup2(fileno(console), STDERR_FILENO);
  garble_vsock((unsigned)strtoul(rounds, NULL, 10));
  fputs("garbled\n", console);
  fclose(console);
  exit(0);
}

enum { PATTERN = 251, MOST_FLOOD_BYTES = 65536 };

static void flood_host(int fd, char* arguments) {
  static char pattern[PATTERN + MOST_FLOOD_BYTES];
  const char* port_text = strtok(arguments, " ");
  const char* size_text = strtok(NULL, " ");
  uint32_t port, size;
  if (port_text == NULL || size_text == NULL || !parse_port(port_text, &port) || !parse_port(size_text, &size) ||
      size == 0 || size > MOST_FLOOD_BYTES) {
    send_text(fd, "ERR not flood <port> <size>\n");
    return;
  }
  const int host = connect_to_host(port);
  if (host < 0) {
    send_text(fd, "ERR refused\n");
    return;
  }
  for (size_t n = 0; n < sizeof pattern; ++n) pattern[n] = (char)(n % PATTERN);
  unsigned long long bytes = 0;
  for (ssize_t n; (n = write(host, pattern + bytes % PATTERN, size)) > 0;) bytes += (unsigned long long)n;
  close(host);
  send_text(fd, "OK %llu\n", bytes);
}

static void open_many(int fd, char* arguments) {
  const char* port_text = strtok(arguments, " ");
  const char* count_text = strtok(NULL, " ");
  uint32_t port, count;
  if (port_text == NULL || count_text == NULL || !parse_port(port_text, &port) || !parse_port(count_text, &count)) {
    send_text(fd, "ERR not open <port> <n>\n");
    return;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < count + 64) limit.rlim_cur = count + 64;
  if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
  setrlimit(RLIMIT_NOFILE, &limit);
  uint32_t open = 0;
  for (uint32_t n = 0; n < count; ++n) {
    if (connect_to_host(port) >= 0) ++open;
  }
  send_text(fd, "OK %u %u\n", open, count - open);
}

static void run(int fd, char* line) {
  char* arguments = strchr(line, ' ');
  if (arguments != NULL) {
    *arguments++ = '\0';
  } else {
    arguments = line + strlen(line);
  }
  if (strcmp(line, "panic") == 0 || strcmp(line, "poweroff") == 0 || strcmp(line, "reboot") == 0) {
    do_to_machine(fd, line);
  } else if (strcmp(line, "console") == 0) {
    print_line(fd, arguments);
  } else if (strcmp(line, "flood-console") == 0) {
    flood_console(fd, arguments);
  } else if (strcmp(line, "listen") == 0) {
    listen_later(fd, arguments);
  } else if (strcmp(line, "flood") == 0) {
    flood_host(fd, arguments);
  } else if (strcmp(line, "garble-vsock") == 0) {
    garble(fd, arguments);
  } else if (strcmp(line, "open") == 0) {
    open_many(fd, arguments);
  } else {
    send_text(fd, "ERR panic, poweroff, reboot, console, flood-console, listen, flood, garble-vsock or open\n");
  }
}

void serve_commands(int fd) {
  struct reader in = {.fd = fd};
  bool too_long;
  for (char* line; (line = reader_line(&in, 4096, &too_long)) != NULL;) run(fd, line);
}
