/* SPDX-License-Identifier: Apache-2.0
 * libmvmclient as a program in C uses it: linked against nothing else. `client_test SENTENCE` runs one test, in a state
 * directory of its own; tests/client/CMakeLists.txt reads the sentences from here. Environment: MVMHOST. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mvm/client.h"

#define CHECK(condition)                                                                                           \
  do {                                                                                                             \
    if (!(condition)) {                                                                                            \
      fprintf(stderr, "%s:%d: not so: %s\n  last error: %d %s\n", __FILE__, __LINE__, #condition, (int)error.code, \
              error.message);                                                                                      \
      clean_up();                                                                                                  \
      exit(1);                                                                                                     \
    }                                                                                                              \
  } while (0)

static char scratch[] = "/tmp/mvm-client.XXXXXX";
static char kernel[64], home[64], shared[64];
static mvmc_client* client;
static mvmc_error error = MVMC_ERROR_INIT;

static void clean_up(void) {
  char command[256];
  snprintf(command, sizeof command, "\"$MVMHOST\" --quiet stop --all --force; rm -rf '%s'", scratch);
  if (system(command) != 0) fprintf(stderr, "%s: could not be cleaned up\n", scratch);
}

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

static void write_file(const char* path, const char* bytes, size_t size, mode_t mode) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && close(fd) == 0);
}

/* A bzImage's head: all that the mock reads. */
static void make_kernel(void) {
  static char image[4096];
  memcpy(image + 510, "\x55\xaa", 2);
  memcpy(image + 514, "HdrS\x0f\x02", 6);
  image[529] = 1;
  snprintf(kernel, sizeof kernel, "%s/vmlinuz", scratch);
  write_file(kernel, image, sizeof image, 0600);
}

/* An mvmhost of the test's own. */
static void make_script(char path[64], const char* commands) {
  char text[256];
  const int size = snprintf(text, sizeof text, "#!/bin/sh\n%s", commands);
  snprintf(path, 64, "%s/script", scratch);
  write_file(path, text, (size_t)size, 0700);
}

static int boot(const char* name) {
  mvmc_boot_options options = MVMC_BOOT_OPTIONS_INIT;
  options.name = name;
  options.kernel = kernel;
  options.hypervisor = "mock";
  return mvmc_boot(client, &options, &error);
}

/* Says it and reads as much back. */
static int echoes(int fd, const char* text) {
  char back[64] = "";
  size_t got = 0;
  const size_t size = strlen(text);
  if (write(fd, text, size) != (ssize_t)size) return 0;
  while (got < size) {
    const ssize_t n = read(fd, back + got, size - got);
    if (n <= 0) return 0;
    got += (size_t)n;
  }
  return memcmp(back, text, size) == 0;
}

static int member_is(const char* name, const char* key, const char* wanted) {
  char* json = mvmc_inspect_json(client, name, &error);
  char* value = mvmc_json_member(json, key);
  const int same = value != NULL && strcmp(value, wanted) == 0;
  if (!same) fprintf(stderr, "%s: %s is %s\n", name, key, value != NULL ? value : "missing");
  mvmc_free(value);
  mvmc_free(json);
  return same;
}

static void whole_life(void) {
  CHECK(boot("demo") == MVMC_OK);
  char* list = mvmc_list_json(client, &error);
  CHECK(list != NULL && strstr(list, "\"demo\"") != NULL && list[0] == '[');
  mvmc_free(list);
  CHECK(member_is("demo", "state", "running") && member_is("demo", "memory_bytes", "536870912"));
  const int fd = mvmc_connect(client, "demo", 7, 0, &error);
  CHECK(fd >= 0 && echoes(fd, "hello"));
  CHECK(mvmc_share_dir(client, "demo", shared, "here", 1, &error) == MVMC_OK);
  char* details = mvmc_inspect_json(client, "demo", &error);
  char* shares = mvmc_json_member(details, "shares");
  CHECK(shares != NULL && strstr(shares, "here") != NULL);
  mvmc_free(shares);
  mvmc_free(details);
  CHECK(mvmc_unshare_dir(client, "demo", "here", &error) == MVMC_OK);
  CHECK(mvmc_rm(client, "demo", &error) == MVMC_FAILED && strstr(error.message, "stop it first") != NULL);
  CHECK(mvmc_stop(client, "demo", 0, 5000, &error) == MVMC_OK);
  CHECK(read(fd, (char[1]){0}, 1) <= 0);
  close(fd);
  CHECK(member_is("demo", "state", "stopped"));
  CHECK(mvmc_connect(client, "demo", 7, 0, &error) == -1 && strstr(error.message, "is stopped") != NULL);
  CHECK(boot("demo") == MVMC_OK);
  const int again = mvmc_connect(client, "demo", 7, 0, &error);
  CHECK(again >= 0 && echoes(again, "again"));
  close(again);
  CHECK(mvmc_stop(client, "demo", 1, 0, &error) == MVMC_OK && mvmc_rm(client, "demo", &error) == MVMC_OK);
}

static void options_arrive(void) {
  char share[96];
  snprintf(share, sizeof share, "%s:place", shared);
  const char* const shares[] = {share, NULL};
  const char* const none[] = {NULL};
  const char* const extra[] = {"--option", "late-port=99:1", NULL};
  mvmc_boot_options options = MVMC_BOOT_OPTIONS_INIT;
  options.name = "demo";
  options.kernel = kernel;
  options.hypervisor = "mock";
  options.cmdline = "--quiet root=\"a b\" $HOME";
  options.cpus = 3;
  options.memory_bytes = (uint64_t)64 << 20;
  options.shares = shares;
  options.extra_args = extra;
  CHECK(mvmc_boot(client, &options, &error) == MVMC_OK);
  CHECK(member_is("demo", "cpus", "3") && member_is("demo", "memory_bytes", "67108864"));
  char* json = mvmc_inspect_json(client, "demo", &error);
  char* spec = mvmc_json_member(json, "spec");
  char* cmdline = mvmc_json_member(spec, "cmdline");
  char* given = mvmc_json_member(spec, "options");
  CHECK(cmdline != NULL && strcmp(cmdline, options.cmdline) == 0);
  CHECK(given != NULL && strstr(given, "late-port") != NULL && strstr(spec, "place") != NULL);
  mvmc_free(given);
  mvmc_free(cmdline);
  mvmc_free(spec);
  mvmc_free(json);
  CHECK(mvmc_stop(client, "demo", 1, 0, &error) == MVMC_OK);
  mvmc_boot_options emptied = MVMC_BOOT_OPTIONS_INIT;
  emptied.name = "demo";
  emptied.shares = none;
  emptied.cmdline = "";
  CHECK(mvmc_boot(client, &emptied, &error) == MVMC_OK);
  CHECK(member_is("demo", "shares", "[]") && member_is("demo", "cpus", "3"));
}

static void errors_say_what(void) {
  CHECK(mvmc_inspect_json(client, "none", &error) == NULL && error.code == MVMC_NOT_FOUND);
  CHECK(strcmp(error.message, "none: no such VM") == 0);
  CHECK(mvmc_connect(client, "none", 7, 0, &error) == -1 && error.code == MVMC_NOT_FOUND);
  CHECK(mvmc_stop(client, "none", 0, 0, &error) == MVMC_NOT_FOUND);
  CHECK(boot("Not A Name") == MVMC_INVALID && error.code == MVMC_INVALID && strstr(error.message, "VM name") != NULL);
  CHECK(boot("--help") == MVMC_INVALID && boot("") == MVMC_INVALID && boot(NULL) == MVMC_INVALID);
  CHECK(strcmp(error.message, "name: is missing") == 0);
  CHECK(mvmc_connect(client, "demo", 0, 0, &error) == -1 && error.code == MVMC_INVALID);
  CHECK(mvmc_list_json(NULL, &error) == NULL && error.code == MVMC_INVALID);
  CHECK(mvmc_stop(client, "none", 0, 0, NULL) == MVMC_NOT_FOUND);
  mvmc_boot_options options = MVMC_BOOT_OPTIONS_INIT;
  options.name = "demo";
  options.kernel = kernel;
  options.hypervisor = "nonesuch";
  CHECK(mvmc_boot(client, &options, &error) == MVMC_NOT_FOUND && strstr(error.message, "nonesuch") != NULL);
  options.size = 0;
  CHECK(mvmc_boot(client, &options, &error) == MVMC_INVALID && strstr(error.message, "initialiser") != NULL);
  struct {
    mvmc_boot_options known;
    uint64_t beyond;
  } newer = {MVMC_BOOT_OPTIONS_INIT, 1};
  newer.known.size = sizeof newer;
  CHECK(mvmc_boot(client, &newer.known, &error) == MVMC_INVALID && strstr(error.message, "update") != NULL);
  mvmc_error small = MVMC_ERROR_INIT;
  small.size = 8 + 6;
  memset(small.message, '#', sizeof small.message);
  CHECK(mvmc_stop(client, "none", 0, 0, &small) == MVMC_NOT_FOUND);
  CHECK(strcmp(small.message, "none:") == 0 && small.message[6] == '#');
}

static void no_program(void) {
  mvmc_options options = MVMC_OPTIONS_INIT;
  options.program = "/nonexistent/mvmhost";
  CHECK(mvmc_open(&options, &error) == NULL && error.code == MVMC_FAILED);
  CHECK(strstr(error.message, "/nonexistent/mvmhost: is no executable file") != NULL);
  setenv("MVMHOST", "nonesuch-mvmhost", 1);
  CHECK(mvmc_open(NULL, &error) == NULL && strstr(error.message, "set MVMHOST") != NULL);
}

static void half_close(void) {
  CHECK(boot("demo") == MVMC_OK);
  const int fd = mvmc_connect(client, "demo", 7, 0, &error);
  CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
  CHECK(write(fd, "last words", 10) == 10 && shutdown(fd, SHUT_WR) == 0);
  char back[32];
  size_t got = 0;
  ssize_t n = 0;
  while ((n = read(fd, back + got, sizeof back - got)) > 0) got += (size_t)n;
  CHECK(n == 0 && got == 10 && memcmp(back, "last words", 10) == 0);
  close(fd);
}

static void deadlines(void) {
  CHECK(boot("demo") == MVMC_OK);
  long begin = now_ms();
  CHECK(mvmc_connect(client, "demo", 4000, 300, &error) == -1 && error.code == MVMC_DEADLINE);
  CHECK(strcmp(error.message, "demo: vsock port 4000: not to be reached within 300 ms: does the guest listen there?") ==
        0);
  CHECK(now_ms() - begin >= 300);
  char slow[64];
  make_script(slow, "trap 'sleep 0.2; echo mvmhost: gave it up >&2; exit 1' TERM\nsleep 300 & wait\n");
  mvmc_options options = MVMC_OPTIONS_INIT;
  options.program = slow;
  options.command_timeout_ms = 300;
  mvmc_client* patient = mvmc_open(&options, &error);
  CHECK(patient != NULL);
  begin = now_ms();
  CHECK(mvmc_list_json(patient, &error) == NULL && error.code == MVMC_DEADLINE);
  CHECK(strstr(error.message, "did not end in time") != NULL && strstr(error.message, "gave it up") != NULL);
  CHECK(now_ms() - begin >= 300 && now_ms() - begin < 20000);
  mvmc_close(patient);
}

static void waits_for_port(void) {
  const char* const extra[] = {"--option", "late-port=99:700", NULL};
  mvmc_boot_options options = MVMC_BOOT_OPTIONS_INIT;
  options.name = "demo";
  options.kernel = kernel;
  options.hypervisor = "mock";
  options.extra_args = extra;
  CHECK(mvmc_boot(client, &options, &error) == MVMC_OK);
  const int fd = mvmc_connect(client, "demo", 99, 20000, &error);
  CHECK(fd >= 0 && echoes(fd, "late"));
  close(fd);
}

static void* connect_often(void* unused) {
  (void)unused;
  for (int i = 0; i < 25; ++i) {
    mvmc_error mine = MVMC_ERROR_INIT;
    const int fd = mvmc_connect(client, "demo", 7, 0, &mine);
    if (fd < 0 || !echoes(fd, "thread")) {
      fprintf(stderr, "connection %d: %s\n", i, mine.message);
      return "failed";
    }
    close(fd);
    if (i != 0) continue;
    char* list = mvmc_list_json(client, &mine);
    if (list == NULL || strstr(list, "demo") == NULL) return "failed";
    mvmc_free(list);
  }
  return NULL;
}

static void threads(void) {
  CHECK(boot("demo") == MVMC_OK);
  pthread_t all[8];
  for (int i = 0; i < 8; ++i) CHECK(pthread_create(&all[i], NULL, connect_often, NULL) == 0);
  int failed = 0;
  for (int i = 0; i < 8; ++i) {
    void* result = NULL;
    pthread_join(all[i], &result);
    if (result != NULL) ++failed;
  }
  CHECK(failed == 0);
}

static void signals(void) {
  /* A child of the program's own is left to it, and its code with it. */
  const pid_t other = fork();
  if (other == 0) _exit(42);
  CHECK(boot("demo") == MVMC_OK);
  int status = 0;
  CHECK(waitpid(other, &status, 0) == other && WIFEXITED(status) && WEXITSTATUS(status) == 42);
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  CHECK(mvmc_stop(client, "none", 0, 0, &error) == MVMC_NOT_FOUND);
  CHECK(member_is("demo", "state", "running"));
  struct sigaction now;
  CHECK(sigaction(SIGCHLD, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
}

static void no_descriptors(void) {
  /* Not close-on-exec, as careless programs have them; and one of those that every program has is closed. */
  CHECK(dup2(1, 9) == 9);
  char nosy[64];
  make_script(nosy, "( : >&9 ) 2>/dev/null && exit 1\necho '[]'\n");
  mvmc_options options = MVMC_OPTIONS_INIT;
  options.program = nosy;
  mvmc_client* asking = mvmc_open(&options, &error);
  CHECK(asking != NULL && close(0) == 0);
  char* list = mvmc_list_json(asking, &error);
  CHECK(list != NULL && strcmp(list, "[]\n") == 0);
  mvmc_free(list);
  mvmc_close(asking);
}

static void json(void) {
  static const char text[] =
      " { \"a\" : \"x\\n\\\"\\u00e9\\ud83d\\ude00\" , \"b\":{\"a\":[1,\"}\"]}, \"c\": -1.5 ,\"d\":[] } ";
  static const struct {
    const char *key, *value;
  } wanted[] = {
      {"a", "x\n\"\xc3\xa9\xf0\x9f\x98\x80"}, {"b", "{\"a\":[1,\"}\"]}"}, {"c", "-1.5"}, {"d", "[]"}, {"e", NULL}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i) {
    char* got = mvmc_json_member(text, wanted[i].key);
    CHECK((got == NULL) == (wanted[i].value == NULL) && (got == NULL || strcmp(got, wanted[i].value) == 0));
    mvmc_free(got);
  }
  static const char* const broken[] = {"",
                                       "[]",
                                       "{",
                                       "{\"a",
                                       "{\"a\"",
                                       "{\"a\":",
                                       "{\"a\":\"",
                                       "{\"a\":\"\\u12",
                                       "{\"a\":\"\\",
                                       "{\"b\":{",
                                       "{\"b\":[\"",
                                       "{\"a\":\"\\ud800\\u0041\"}",
                                       "{1:2}",
                                       "{,"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i) CHECK(mvmc_json_member(broken[i], "a") == NULL);
}

/* CMakeLists.txt reads these lines. */
static const struct {
  const char* sentence;
  void (*run)(void);
} tests[] = {
    {"a program in C boots, lists, connects, shares, stops, boots again and removes", whole_life},
    {"what a boot is given arrives unchanged, and what is empty empties", options_arrive},
    {"an error has mvmhost's code and words, in the room there is", errors_say_what},
    {"without an mvmhost to run the client says where it looked", no_program},
    {"a connection is a blocking, close-on-exec stream whose half-close the guest sees", half_close},
    {"what takes too long fails with a deadline, and mvmhost is ended", deadlines},
    {"a port that comes to be listened on is waited for", waits_for_port},
    {"eight threads use one client at once", threads},
    {"children and signal dispositions stay the program's", signals},
    {"what the client runs inherits none of the program's descriptors", no_descriptors},
    {"a member of a JSON object is found, and a broken one is none", json},
};

int main(int argc, char** argv) {
  if (mkdtemp(scratch) == NULL) return 1;
  char place[96];
  snprintf(home, sizeof home, "%s/state", scratch);
  snprintf(place, sizeof place, "%s/run", scratch);
  setenv("MVM_HOME", home, 1);
  setenv("MVM_RUNTIME_DIR", place, 1);
  unsetenv("MVM_HYPERVISOR");
  unsetenv("MVM_PLUGIN_PATH");
  snprintf(shared, sizeof shared, "%s/shared", scratch);
  if (mkdir(shared, 0700) != 0) return 1;
  make_kernel();
  client = mvmc_open(NULL, &error);
  CHECK(client != NULL && strlen(mvmc_version()) >= 5);
  for (size_t i = 0; i < sizeof tests / sizeof *tests; ++i) {
    if (argc != 2 || strcmp(argv[1], tests[i].sentence) != 0) continue;
    char* program = strdup(getenv("MVMHOST"));
    tests[i].run();
    setenv("MVMHOST", program, 1);
    free(program);
    mvmc_close(client);
    clean_up();
    return 0;
  }
  fprintf(stderr, "usage: client_test SENTENCE\n");
  clean_up();
  return 2;
}
