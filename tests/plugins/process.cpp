// SPDX-License-Identifier: Apache-2.0
#include "plugins/process.hpp"

#include <array>
#include <csignal>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

namespace mvm::test {
namespace {

[[noreturn]] void be_the_child(int out, const std::function<void(const std::function<void(const std::string&)>&)>& fn) {
  // Catch2's own handlers would report the crash as this test's.
  for (const int fault : {SIGSEGV, SIGABRT, SIGBUS}) std::signal(fault, SIG_DFL);
  try {
    fn([out](const std::string& text) { (void)!::write(out, text.data(), text.size()); });
  } catch (const std::exception&) {
  }
  ::_exit(0);
}

}  // namespace

ChildEnd run_in_child(const std::function<void(const std::function<void(const std::string&)>& say)>& fn) {
  int fds[2];
  if (::pipe(fds) != 0) throw std::runtime_error("pipe: failed");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork: failed");
  if (child == 0) be_the_child(fds[1], fn);
  ::close(fds[1]);
  ChildEnd end;
  std::array<char, 1024> piece;
  for (ssize_t n = 0; (n = ::read(fds[0], piece.data(), piece.size())) > 0;) {
    end.said.append(piece.data(), static_cast<size_t>(n));
  }
  ::close(fds[0]);
  ::waitpid(child, &end.wait_status, 0);
  return end;
}

}  // namespace mvm::test
