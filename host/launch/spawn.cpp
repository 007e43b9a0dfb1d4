// SPDX-License-Identifier: Apache-2.0
#include "launch/spawn.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/file.hpp"
#include "base/process.hpp"

extern char** environ;

namespace mvm::host {
namespace {

// posix_spawn's file actions and attributes, freed.
struct SpawnPlan {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;

  explicit SpawnPlan(int fd) {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_adddup2(&actions, fd, launch_fd);
    close_the_rest();
    sigset_t all;
    sigset_t none;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
  }
  // A runner outlives whoever boots it: it keeps no lock or pipe of theirs open.
  void close_the_rest() {
#if defined(__APPLE__)
    for (int standard = 0; standard < launch_fd; ++standard) {
      ::posix_spawn_file_actions_addinherit_np(&actions, standard);
    }
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#elif defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    ::posix_spawn_file_actions_addclosefrom_np(&actions, launch_fd + 1);
#endif
#endif
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
};

}  // namespace

Result<pid_t> spawn_self(const std::vector<std::string>& arguments, int fd) {
  const std::string executable = own_executable().string();
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(executable.c_str()));
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // dup2 onto itself would keep it close-on-exec.
  UniqueFd moved;
  if (fd == launch_fd) {
    moved = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, launch_fd + 1));
    fd = moved.get();
  }
  const SpawnPlan plan(fd);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, executable.c_str(), &plan.actions, &plan.attributes, argv.data(), environ);
  if (error != 0) return fail(ErrorKind::failed, "{}: cannot be started: {}", executable, errno_words(error));
  return pid;
}

std::string how_child_ended(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return "ended";
  }
  if (WIFSIGNALED(status)) return formatted("ended by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return formatted("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace mvm::host
