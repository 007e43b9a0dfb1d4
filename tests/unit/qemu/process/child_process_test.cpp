// SPDX-License-Identifier: Apache-2.0
#include "process/child_process.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace mvm::test;
using mvm::Error;
using mvm::UniqueFd;
using mvm::qemu::ChildProcess;
using mvm::qemu::ExitStatus;
using Kind = mvm::qemu::ExitStatus::Kind;

namespace {

constexpr auto deadline = 20s;
constexpr int deadline_ms = 20'000;

ChildProcess::Command shell(const std::string& script) { return {{"/bin/sh", "-c", script}, {}, {}}; }

// What a command came to, from a loop of its own.
struct Ended {
  ExitStatus status;
  std::string output;
  int times = 0;
};

Ended run(const ChildProcess::Command& command, const std::function<void(ChildProcess&)>& meanwhile = {}) {
  boost::asio::io_context loop;
  std::unique_ptr<ChildProcess> child;
  Ended ended;
  boost::asio::post(loop, [&] {
    child = ChildProcess::start(loop, command);
    child->on_exit([&](ExitStatus status) { ended = {status, child->last_output(), ended.times + 1}; });
    if (meanwhile) meanwhile(*child);
  });
  loop.run_for(deadline);
  REQUIRE(ended.times == 1);
  return ended;
}

// The message of the error that start throws.
std::string refusal(const ChildProcess::Command& command, mvm_status expected) {
  boost::asio::io_context loop;
  std::string message;
  boost::asio::post(loop, [&] {
    try {
      ChildProcess::start(loop, command);
    } catch (const Error& e) {
      CHECK(e.status() == expected);
      message = e.what();
    }
  });
  loop.run_for(deadline);
  return message;
}

// A pipe whose end tells that everybody who held the other one is gone.
struct Tether {
  Tether() {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    ours.reset(fds[0]);
    theirs.reset(fds[1]);
  }
  bool cut_within(int timeout_ms) const {
    pollfd end{ours.get(), 0, 0};
    return ::poll(&end, 1, timeout_ms) == 1 && (end.revents & POLLHUP) != 0;
  }

  UniqueFd ours;
  UniqueFd theirs;
};

bool is_child_of_ours(pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != -1 || errno != ECHILD; }

// A process that starts the command, and stays. Returns its pid when the command runs.
pid_t start_from_another_process(const ChildProcess::Command& command) {
  Tether running;
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    boost::asio::io_context loop;
    std::unique_ptr<ChildProcess> child;
    boost::asio::post(loop, [&] {
      child = ChildProcess::start(loop, command);
      running.theirs.reset();
    });
    loop.run();
    ::_exit(1);
  }
  running.theirs.reset();
  REQUIRE(running.cut_within(deadline_ms));
  return pid;
}

}  // namespace

TEST_CASE("a child's exit code is told once, with what it wrote last") {
  const Ended ended = run(shell("echo out; echo err >&2; exit 3"));
  CHECK(ended.status == ExitStatus{Kind::exited, 3, 0});
  CHECK(ended.status.describe() == "ended with exit code 3");
  CHECK_FALSE(ended.status.clean());
  CHECK(ended.output == "out\nerr");
}

TEST_CASE("a child that ends by a signal says which") {
  const Ended ended = run(shell("kill -SEGV $$"));
  CHECK(ended.status == ExitStatus{Kind::killed, 0, SIGSEGV});
  CHECK(ended.status.describe() == "was killed by SIGSEGV");
}

TEST_CASE("a signal reaches the child") {
  const Ended ended = run({{"/bin/sleep", "1000"}, {}, {}}, [](ChildProcess& child) { child.kill(SIGTERM); });
  CHECK(ended.status == ExitStatus{Kind::killed, 0, SIGTERM});
}

TEST_CASE("of a long output the last 20 lines are kept, and 4 KiB at most") {
  const Ended lines = run(shell("i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done"));
  CHECK_THAT(lines.output, StartsWith("line 4981\n"));
  CHECK_THAT(lines.output, ContainsSubstring("\nline 5000"));
  const Ended wide = run(shell("head -c 100000 /dev/zero | tr '\\0' x"));
  CHECK(wide.output == std::string(4096, 'x'));
}

TEST_CASE("a child that writes more than a pipe holds is not held up") {
  CHECK(run(shell("head -c 5000000 /dev/zero")).status.clean());
}

TEST_CASE("what a child writes cannot command the terminal that shows it") {
  CHECK(run(shell("printf '\\033[2Jred\\200\\n'")).output == "?[2Jred?");
}

TEST_CASE("a program that is missing fails the start, by its path") {
  CHECK(refusal({{"/nowhere/qemu"}, {}, {}}, MVM_ERR_NOT_FOUND) ==
        "/nowhere/qemu: cannot be started: No such file or directory");
  CHECK(refusal({{"/dev/null"}, {}, {}}, MVM_ERR_DENIED) == "/dev/null: cannot be started: Permission denied");
}

TEST_CASE("a preparation that fails fails the start, with its words") {
  ChildProcess::Command command = shell("exit 0");
  command.prepare = [] {
    const char words[] = "namespace: not today\n";
    return ::write(2, words, sizeof words - 1) > 0 ? EPERM : EIO;
  };
  CHECK(refusal(command, MVM_ERR_INTERNAL) ==
        "/bin/sh: cannot be prepared: Operation not permitted: namespace: not today");
  boost::asio::io_context loop;
  boost::asio::post(loop, [&] { CHECK_THROWS_AS(ChildProcess::start(loop, command), mvm::qemu::PreparationError); });
  loop.run_for(deadline);
}

TEST_CASE("a start that failed leaves no child and no descriptor") {
  const Tether before;
  refusal({{"/nowhere/qemu"}, {}, {}}, MVM_ERR_NOT_FOUND);
  const Tether after;
  CHECK(after.ours.get() == before.theirs.get() + 1);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("a child has the descriptors it was given, and no others") {
  const Tether tether;
  const UniqueFd inherited(::dup(tether.ours.get()));  // without close-on-exec, as careless code leaves them
  ChildProcess::Command command{{"/bin/ls", "/proc/self/fd"}, {{tether.theirs.get(), 9}, {tether.ours.get(), 6}}, {}};
  CHECK(run(command).output == "0\n1\n2\n3\n6\n9");  // 3 is the directory that ls lists
}

TEST_CASE("a child's descriptors may take each other's numbers") {
  Tether a;
  Tether b;
  REQUIRE(a.theirs.get() > 2);
  // Each pipe's writing end goes where the other's is.
  ChildProcess::Command command =
      shell("echo a >&" + std::to_string(b.theirs.get()) + "; echo b >&" + std::to_string(a.theirs.get()));
  command.descriptors = {{a.theirs.get(), b.theirs.get()}, {b.theirs.get(), a.theirs.get()}};
  CHECK(run(command).output.empty());
  char byte = 0;
  CHECK(::read(a.ours.get(), &byte, 1) == 1);
  CHECK(byte == 'a');
  CHECK(::read(b.ours.get(), &byte, 1) == 1);
  CHECK(byte == 'b');
}

TEST_CASE("a preparation sees the child's descriptors, by their numbers there") {
  Tether tether;
  ChildProcess::Command command = shell("exit 0");
  command.descriptors = {{tether.theirs.get(), 7}};
  command.prepare = [] { return ::write(7, "x", 1) == 1 ? 0 : errno; };
  CHECK(run(command).status.clean());
  tether.theirs.reset();
  char byte = 0;
  CHECK(::read(tether.ours.get(), &byte, 1) == 1);
}

TEST_CASE("a child has a small environment, no input, and the working directory /") {
  ::setenv("MVM_SECRET", "x", 1);
  ::setenv("TMPDIR", "/tmp", 1);
  const Ended ended = run(shell("unset PWD OLDPWD SHLVL _; /usr/bin/env | sed s/=.*// | sort; pwd; wc -c; echo $LANG"));
  CHECK(ended.output == (std::getenv("HOME") != nullptr ? std::string("HOME\n") : "") + "LANG\nPATH\nTMPDIR\n/\n0\nC");
}

TEST_CASE("a child blocks and ignores no signal, whatever its parent does") {
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, &before);
  const auto old = ::signal(SIGPIPE, SIG_IGN);
  const Ended ended = run({{"/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}, {}, {}});
  ::signal(SIGPIPE, old);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  CHECK(ended.output == "SigBlk:?0000000000000000\nSigIgn:?0000000000000000");
}

TEST_CASE("a child has a session of its own, so that the terminal's Ctrl-C passes it by") {
  boost::asio::io_context loop;
  boost::asio::post(loop, [&] {
    const auto child = ChildProcess::start(loop, {{"/bin/sleep", "1000"}, {}, {}});
    CHECK(::getsid(child->pid()) == child->pid());
  });
  loop.run_for(deadline);
}

TEST_CASE("an end that nobody asked about yet is told when somebody does") {
  boost::asio::io_context loop;
  std::unique_ptr<ChildProcess> child;
  boost::asio::post(loop, [&] { child = ChildProcess::start(loop, shell("exit 4")); });
  loop.run_for(deadline);
  int code = -1;
  child->on_exit([&](ExitStatus status) { code = status.code; });
  CHECK(code == -1);
  loop.restart();
  loop.run_for(deadline);
  CHECK(code == 4);
}

TEST_CASE("a signal to a child that has ended goes nowhere") {
  boost::asio::io_context loop;
  std::unique_ptr<ChildProcess> child;
  boost::asio::post(loop, [&] { child = ChildProcess::start(loop, shell("exit 0")); });
  loop.run_for(deadline);
  child->kill(SIGKILL);
  CHECK_FALSE(is_child_of_ours(child->pid()));
}

TEST_CASE("a child may be destroyed by the function that is told of its end") {
  boost::asio::io_context loop;
  std::unique_ptr<ChildProcess> child;
  boost::asio::post(loop, [&] {
    child = ChildProcess::start(loop, shell("exit 0"));
    child->on_exit([&child](ExitStatus) { child.reset(); });
  });
  loop.run_for(deadline);
  CHECK(child == nullptr);
}

TEST_CASE("a child that is destroyed is killed and waited for, and nobody is told") {
  boost::asio::io_context loop;
  Tether tether;
  pid_t pid = -1;
  bool told = false;
  boost::asio::post(loop, [&] {
    ChildProcess::Command command = shell("trap '' TERM; sleep 1000 & wait");
    command.descriptors = {{tether.theirs.get(), 3}};
    const auto child = ChildProcess::start(loop, command);
    child->on_exit([&told](ExitStatus) { told = true; });
    pid = child->pid();
  });
  loop.run_for(deadline);
  CHECK_FALSE(is_child_of_ours(pid));
  CHECK_FALSE(told);
  tether.theirs.reset();
  CHECK(tether.cut_within(deadline_ms));
}

TEST_CASE("what a child leaves running ends with it") {
  Tether tether;
  ChildProcess::Command command = shell("sleep 1000 & exit 0");
  command.descriptors = {{tether.theirs.get(), 3}};
  CHECK(run(command).status.clean());
  tether.theirs.reset();
  CHECK(tether.cut_within(deadline_ms));
}

TEST_CASE("a child dies with its parent, even if that is killed") {
  const bool clears = GENERATE(false, true);
  Tether tether;
  ChildProcess::Command command{{"/bin/sleep", "1000"}, {{tether.theirs.get(), 3}}, {}};
  // A preparation that changes credentials clears the parent-death signal.
  if (clears) command.prepare = [] { return ::prctl(PR_SET_PDEATHSIG, 0) == 0 ? 0 : errno; };
  const pid_t parent = start_from_another_process(command);
  tether.theirs.reset();
  CHECK_FALSE(tether.cut_within(0));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  CHECK(tether.cut_within(deadline_ms));
}

TEST_CASE("a child that somebody else waited for has ended all the same") {
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  const Ended ended = run({{"/bin/cat"}, {}, {}}, [](ChildProcess& child) { child.kill(SIGKILL); });
  ::signal(SIGCHLD, before);
  CHECK(ended.status.kind == Kind::unknown);
  CHECK(ended.status.describe() == "ended in a way that nobody saw");
}
