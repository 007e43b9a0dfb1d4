// SPDX-License-Identifier: Apache-2.0
// The fake daemon (fake_virtiofsd.cpp) under its names, and children of the test in which things can be tried.
#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "unit/base/temp_dir.hpp"

namespace mvm::test {

class FakeDaemons {
 public:
  FakeDaemons() {
    // A copy: ordinary users may not get to where this was built.
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
    std::filesystem::copy_file(MVM_FAKE_VIRTIOFSD, dir_ / "fake");
    for (const char* role : {"rust", "writer", "lister", "mute", "dying", "hanging", "unknown"}) {
      std::filesystem::create_symlink("fake", named(role));
    }
  }
  std::string named(const std::string& role) const { return (dir_ / ("virtiofsd-" + role)).string(); }

 private:
  TempDir dir_;
};

// What fn returns, or the words of what it throws, in a child of ours: fn may change whatever a process is.
inline std::string in_a_child(const std::function<std::string()>& fn) {
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    std::string answer;
    try {
      answer = fn();
    } catch (const std::exception& e) {
      answer = e.what();
    }
    ::_exit(::write(fds[1], answer.data(), answer.size()) == static_cast<ssize_t>(answer.size()) ? 0 : 1);
  }
  ::close(fds[1]);
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fds[0], buffer, sizeof buffer)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  ::close(fds[0]);
  ::waitpid(pid, nullptr, 0);
  return answer;
}

}  // namespace mvm::test
