// SPDX-License-Identifier: Apache-2.0
#include "base/program.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/process.hpp"

extern char** environ;

namespace mvm::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t max_output_bytes = 64 * 1024;

std::chrono::milliseconds left_until(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

Result<pid_t> spawn(const std::vector<std::string>& command, int output) {
  std::vector<char*> argv;
  for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return fail(ErrorKind::unsupported, "{}: there is no such program in PATH", command.front());
  if (error != 0) return fail(ErrorKind::failed, "{}: cannot be started: {}", command.front(), errno_words(error));
  return pid;
}

// Until its writers are gone. False: the time was up first.
bool read_all(int fd, Clock::time_point end, std::string& output) {
  std::array<char, 4096> piece{};
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left_until(end).count()));
    if (ready == 0) return false;
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0) return true;
    output.append(piece.data(), std::min(static_cast<size_t>(n), max_output_bytes - output.size()));
  }
}

int exit_code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<ProgramEnd> run_program(const std::vector<std::string>& command, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  int ends[2];
  if (::pipe(ends) != 0) return fail(ErrorKind::failed, "{}: {}", command.front(), errno_words(errno));
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  for (const int fd : ends) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  MVM_TRY(const pid_t pid, spawn(command, theirs.get()));
  theirs.reset();
  ProgramEnd result;
  const bool in_time = read_all(ours.get(), end, result.output) && wait_process_end(pid, left_until(end));
  if (!in_time) ::kill(pid, SIGKILL);
  result.exit_code = exit_code_of(pid);
  if (in_time) return result;
  return fail(ErrorKind::deadline, "{}: did not end within {} ms, and was killed", command.front(), limit.count());
}

}  // namespace mvm::host
