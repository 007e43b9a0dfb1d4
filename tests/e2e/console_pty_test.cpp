// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

std::string read_until(const Fd& terminal, const std::string& end) {
  std::string text;
  while (text.find(end) == std::string::npos && readable(terminal.get(), 10s)) {
    char buffer[4096];
    const ssize_t n = ::read(terminal.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

TEST_CASE("a console on a pty shows the guest's output and takes what is typed", "[e2e][console]") {
  const Sandbox box;
  box.must_boot("demo", {"--console-pty"});
  const std::string path = box.field("demo", "console_pty");
  REQUIRE(path.substr(0, 5) == "/dev/");
  CHECK_THAT(box.must({"inspect", "demo"}).out, ContainsSubstring(path));
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  CHECK((about.st_mode & 0777) == 0600);
  const Fd terminal(::open(path.c_str(), O_RDWR | O_NOCTTY));
  REQUIRE(terminal);
  CHECK_THAT(read_until(terminal, ": ready"), ContainsSubstring("mock guest demo: ready"));
  REQUIRE(::write(terminal.get(), "hello, guest\r", 13) == 13);
  CHECK_THAT(read_until(terminal, "guest"), ContainsSubstring("hello, guest"));
  CHECK(eventually([&] { return slurp(box.vm("demo") / "console.log").find("hello, guest") != std::string::npos; }));
  box.must({"stop", "demo"});
  CHECK(box.field("demo", "console_pty").empty());
}

TEST_CASE("a console on a pty that nobody reads holds nobody up", "[e2e][console]") {
  const Sandbox box;
  box.must_boot("demo", {"--console-pty", "--option", "console-lines=20000"});
  CHECK(eventually(
      [&] { return slurp(box.vm("demo") / "console.log").find("console line 20000\r") != std::string::npos; }));
  box.must({"stop", "demo"});
}

TEST_CASE("a console on a pty is remembered until it is no longer wanted", "[e2e][console]") {
  const Sandbox box;
  box.must_boot("demo", {"--console-pty"});
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
  CHECK_FALSE(box.field("demo", "console_pty").empty());
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--no-console-pty"});
  CHECK(box.field("demo", "console_pty").empty());
}

}  // namespace mvm::test
