// SPDX-License-Identifier: Apache-2.0
#include "exec_in_child.hpp"

#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mvm::qemu {
namespace {

[[noreturn]] void fail(int report, ChildStep step, int error) noexcept {
  const ChildFailure failure{step, error};
  // Nobody is left to tell when this fails: the parent is gone.
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  // Not _exit: ThreadSanitizer's writes out what our process had buffered for its own standard output.
  ::syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

// A parent that died before the prctl took effect sends no signal any more: hence the second look.
bool die_with_parent(pid_t parent) noexcept { return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent; }

// Handlers of the host's must not run in the child, and what it ignores (SIGPIPE) would stay ignored after exec.
void reset_signals() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool close_between(int first, int last) noexcept {
  return first > last || ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0) == 0;
}

// Afterwards the child has the numbers of the plan, the report pipe, and nothing else. Two steps, since one's number
// may be another's original.
bool arrange_descriptors(ChildPlan& plan) noexcept {
  const int beyond = plan.moves.back().number + 1;
  plan.report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, beyond);
  if (plan.report < 0) return false;
  for (DescriptorMove& move : plan.moves) {
    move.spare = ::fcntl(move.ours, F_DUPFD_CLOEXEC, beyond);
    if (move.spare < 0) return false;
  }
  int next = 0;
  for (const DescriptorMove& move : plan.moves) {
    if (::dup2(move.spare, move.number) < 0 || !close_between(next, move.number - 1)) return false;
    next = move.number + 1;
  }
  return close_between(beyond, plan.report - 1) && ::close_range(static_cast<unsigned>(plan.report) + 1, ~0U, 0) == 0;
}

}  // namespace

void exec_in_child(ChildPlan& plan) noexcept {
  if (!die_with_parent(plan.parent)) fail(plan.report, ChildStep::setup, errno);
  // A session of its own: the terminal's Ctrl-C is for the host, and the process group can be killed as one.
  ::setsid();
  reset_signals();
  const int report = plan.report;
  if (!arrange_descriptors(plan)) fail(plan.report < 0 ? report : plan.report, ChildStep::setup, errno);
  if (::chdir("/") != 0) fail(plan.report, ChildStep::setup, errno);
  if (*plan.prepare) {
    const int error = (*plan.prepare)();
    if (error != 0) fail(plan.report, ChildStep::prepare, error);
    // Whatever changes credentials clears it, a new user namespace among others (commit_creds in kernel/cred.c).
    if (!die_with_parent(plan.parent)) fail(plan.report, ChildStep::setup, errno);
  }
  ::execve(plan.program, plan.arguments, plan.environment);
  fail(plan.report, ChildStep::exec, errno);
}

}  // namespace mvm::qemu
