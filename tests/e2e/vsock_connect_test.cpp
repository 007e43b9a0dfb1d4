// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("vsock-connect echoes what it is given and ends with it", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const Outcome echoed = box.run({"vsock-connect", "demo", "7"}, {.input = "hello\n"});
  CHECK(echoed.exit_code == 0);
  CHECK(echoed.out == "hello\n");
  CHECK(echoed.err.empty());
  CHECK(box.run({"vsock-connect", "demo", "7"}).out.empty());
}

TEST_CASE("a megabyte goes through vsock-connect both ways", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string bytes = some_bytes(1 << 20);
  const Outcome echoed = box.run({"vsock-connect", "demo", "7"}, {.input = bytes});
  CHECK(echoed.exit_code == 0);
  CHECK((echoed.out == bytes));
}

TEST_CASE("the guest's answer comes before standard input ends", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  Process session = box.start({"vsock-connect", "demo", "7"});
  for (int i = 0; i < 5; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    session.write(line);
    REQUIRE(session.wait_out(line));
  }
  session.end_input();
  CHECK(session.wait(10s).exit_code == 0);
}

TEST_CASE("discard takes everything and says nothing", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const Outcome discarded = box.run({"vsock-connect", "demo", "9"}, {.input = some_bytes(1 << 20)});
  CHECK(discarded.exit_code == 0);
  CHECK(discarded.out.empty());
}

TEST_CASE("vsock-connect ends when the reader of its output goes away", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  Process pattern = box.start({"vsock-connect", "demo", "19"});
  REQUIRE(pattern.wait_out("!\"#"));
  pattern.close_out();
  REQUIRE_NOTHROW(pattern.wait(10s));
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
}

TEST_CASE("vsock-connect ends when the guest does though its input stays open", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  Process session = box.start({"vsock-connect", "demo", "7"});
  session.write("hello");
  REQUIRE(session.wait_out("hello"));
  box.must({"stop", "demo", "--force"});
  REQUIRE_NOTHROW(session.wait(10s));
}

TEST_CASE("a port that nobody serves is waited for until the timeout and then exits with 4", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FAILS(box.run({"vsock-connect", "demo", "4444", "--timeout", "300ms"}), 4, "4444");
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took >= 300ms);
  CHECK(took < 4s);
}

TEST_CASE("a timeout of nothing tries once", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const Outcome tried = box.run({"vsock-connect", "demo", "4444", "--timeout", "0"}, {.deadline = 4s});
  CHECK((tried.exit_code == 1 || tried.exit_code == 4));
  CHECK_THAT(tried.err, ContainsSubstring("4444"));
}

TEST_CASE("a refused port exits with 1 at once", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "refuse-port=5000"});
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FAILS(box.run({"vsock-connect", "demo", "5000"}), 1, "5000");
  CHECK(std::chrono::steady_clock::now() - begin < 4s);
}

TEST_CASE("a port that listens late is reached within the timeout", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "late-port=6000:700"});
  CHECK(box.run({"vsock-connect", "demo", "6000"}, {.input = "late"}).out == "late");
}

TEST_CASE("a slow peer gets all in its own time and holds nobody else up", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "slow-port=6000:400000"});
  const std::string bytes = some_bytes(400'000);
  Process slow = box.start({"vsock-connect", "demo", "6000"});
  slow.write(bytes.substr(0, 1000));
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "quick"}).out == "quick");
  slow.write(bytes.substr(1000));
  slow.end_input();
  CHECK((slow.wait().out == bytes));
}

TEST_CASE("200 connections at once each get their own bytes", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  std::vector<Process> sessions;
  for (int i = 0; i < 200; ++i) {
    sessions.push_back(box.start({"vsock-connect", "demo", "7"}));
    sessions.back().write("session " + std::to_string(i) + "\n");
  }
  for (int i = 0; i < 200; ++i) {
    INFO("session " << i << ": " << sessions[static_cast<size_t>(i)].err());
    REQUIRE(sessions[static_cast<size_t>(i)].wait_out("session " + std::to_string(i) + "\n"));
  }
  for (auto& session : sessions) session.end_input();
  for (auto& session : sessions) CHECK(session.wait().exit_code == 0);
}

TEST_CASE("the agent answers a framed ping", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string ping = std::string("\0\0\0\6", 4) + "\"Ping\"";
  CHECK(box.must({"vsock-connect", "demo", "5252"}, {.input = ping}).out == std::string("\0\0\0\6", 4) + "\"Pong\"");
}

TEST_CASE("what is no vsock port is refused", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  for (const char* port : {"0", "abc", "-1", "4294967295", "4294967296", "99999999999999999999", "7x", " 7", ""}) {
    INFO("port " << port);
    CHECK(box.run({"vsock-connect", "--", "demo", port}).exit_code == 2);
  }
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7", "--timeout", "soon"}), 2, "--timeout soon");
}

TEST_CASE("a hypervisor that never answers a connect costs that connection only", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "hang=vsock_connect"});
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7", "--timeout", "200ms"}), 4, "vsock_connect");
  CHECK(box.state("demo") == "running");
  box.must({"stop", "demo"});
}

TEST_CASE("the VM is stopped while connections are open", "[e2e][vsock]") {
  const Sandbox box;
  box.must_boot("demo");
  Process pattern = box.start({"vsock-connect", "demo", "19"});
  REQUIRE(pattern.wait_out("!"));
  box.must({"stop", "demo"});
  REQUIRE_NOTHROW(pattern.wait(10s));
  CHECK(box.state("demo") == "stopped");
}

}  // namespace mvm::test
