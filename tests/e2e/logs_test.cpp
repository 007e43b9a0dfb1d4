// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

bool console_has(const Sandbox& box, const std::string& text) {
  return eventually([&] { return slurp(box.vm("demo") / "console.log").find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("logs prints the console and its last lines", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "console-lines=50"});
  REQUIRE(console_has(box, "console line 50\r\n"));
  const std::string all = box.must({"logs", "demo"}).out;
  CHECK_THAT(all, ContainsSubstring("Linux version") && ContainsSubstring("console line 1\r\n"));
  const std::string last = box.must({"logs", "demo", "-n", "2"}).out;
  CHECK(std::count(last.begin(), last.end(), '\n') == 2);
  CHECK_THAT(last, ContainsSubstring("console line 49") && ContainsSubstring("console line 50"));
  CHECK(box.must({"logs", "demo", "-n", "0"}).out.empty());
  CHECK(box.must({"logs", "demo", "-n", "100000"}).out == all);
  box.must({"stop", "demo"});
  CHECK_THAT(box.must({"logs", "demo"}).out, StartsWith(all));
}

TEST_CASE("logs refuses what is no number of lines", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo");
  for (const char* lines : {"x", "-1", "1.5", "", "99999999999999999999999"}) {
    INFO("lines " << lines);
    CHECK(box.run({"logs", "demo", std::string("--lines=") + lines}).exit_code == 2);
  }
}

TEST_CASE("logs of the runner say what it did", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK_THAT(box.must({"logs", "demo", "--runner"}).out, ContainsSubstring("demo: running"));
}

TEST_CASE("logs follows the console and ends with the VM", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "guest-connect=1:x"});
  Process following = box.start({"logs", "-f", "demo"});
  REQUIRE(following.wait_out("ready"));
  CHECK_FALSE(following.has_ended());
  box.must({"stop", "demo"});
  const Outcome followed = following.wait(10s);
  CHECK(followed.exit_code == 0);
  CHECK(followed.out == slurp(box.vm("demo") / "console.log"));
}

TEST_CASE("logs follows a boot from before its first line", "[e2e][logs]") {
  const Sandbox box;
  Process boot =
      box.start(box.boot_arguments("demo", {"--option", "boot-delay=300", "--option", "console-lines=20000"}));
  REQUIRE(eventually([&] { return box.state("demo") == "starting"; }));
  Process following = box.start({"logs", "-f", "demo"});
  REQUIRE(following.wait_out("console line 20000\r\n"));
  CHECK(boot.wait().exit_code == 0);
  box.must({"stop", "demo", "--force"});
  const Outcome followed = following.wait(10s);
  CHECK(followed.out == slurp(box.vm("demo") / "console.log"));
}

TEST_CASE("logs ends with a runner that was killed", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo");
  Process following = box.start({"logs", "-f", "-n", "1", "demo"});
  REQUIRE(following.wait_out("ready"));
  box.kill_runner("demo");
  CHECK(following.wait(10s).exit_code == 0);
}

TEST_CASE("logs of a VM that does not run ends at once even when it follows", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  CHECK_THAT(box.must({"logs", "-f", "demo"}, {.deadline = 10s}).out, ContainsSubstring("ready"));
}

TEST_CASE("a guest that floods its console fills two files of 8 MiB at the most", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "console-lines=2000000"});  // about 40 MiB
  Process following = box.start({"logs", "-f", "-n", "1", "demo"});
  REQUIRE(following.wait_out("console line 2000000\r\n"));
  constexpr uint64_t most = (uint64_t{8} << 20) + 65536;
  uint64_t total = 0;
  for (const auto& entry : fs::directory_iterator(box.vm("demo"))) {
    if (entry.path().filename().string().rfind("console.log", 0) != 0) continue;
    CHECK(entry.file_size() <= most);
    total += entry.file_size();
  }
  CHECK(total <= 2 * most);
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
  box.must({"stop", "demo"});
  CHECK(following.wait(10s).exit_code == 0);
}

TEST_CASE("the console of the run before is kept beside the new one", "[e2e][logs]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "console-lines=3"});
  REQUIRE(console_has(box, "console line 3\r\n"));
  box.kill_runner("demo");
  box.must({"boot", "demo", "--option", "console-lines=0"});
  CHECK_THAT(slurp(box.vm("demo") / "console.log.1"), ContainsSubstring("console line 3\r\n"));
  CHECK_THAT(slurp(box.vm("demo") / "console.log"), !ContainsSubstring("console line 3\r\n"));
}

}  // namespace mvm::test
