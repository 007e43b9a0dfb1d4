// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("a paused VM is listed so, answers nobody, and goes on where it was", "[e2e][pause]") {
  const Sandbox box;
  box.must_boot("demo");
  const Fd stream = connect_unix(box.field("demo", "vsock_socket"));
  send_all(stream, "CONNECT 7\n");
  REQUIRE(receive_line(stream).substr(0, 3) == "OK ");
  box.must({"pause", "demo"});
  CHECK(box.state("demo") == "paused");
  CHECK_THAT(box.must({"list"}).out, ContainsSubstring("paused"));
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 1, "demo: is paused, not running");
  CHECK_FAILS(box.run({"share-dir", "demo", box.directory("data")}), 1, "is paused, not running");
  send_all(stream, "said meanwhile");
  CHECK_FALSE(readable(stream.get(), 100ms));
  box.must({"pause", "demo"});  // it is
  box.must({"resume", "demo"});
  CHECK(box.state("demo") == "running");
  CHECK(receive(stream, 14) == "said meanwhile");
  box.must({"resume", "demo"});
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello"}).out == "hello");
}

TEST_CASE("a paused VM that is stopped shuts down by itself, and one whose runner dies has crashed", "[e2e][pause]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"pause", "demo"});
  box.must({"stop", "demo"});
  CHECK_THAT(slurp(box.vm("demo") / "console.log"), ContainsSubstring("power button: shutting down"));
  box.must({"boot", "demo"});
  box.must({"pause", "demo"});
  box.must({"stop", "demo", "--force"});
  box.must({"boot", "demo"});
  box.must({"pause", "demo"});
  box.kill_runner("demo");
  CHECK(box.state("demo") == "crashed");
}

TEST_CASE("what does not run cannot be paused or resumed", "[e2e][pause]") {
  const Sandbox box;
  CHECK_FAILS(box.run({"pause", "demo"}), 3, "demo: ");
  box.must_boot("demo");
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"pause", "demo"}), 1, "demo: is stopped, not running");
  CHECK_FAILS(box.run({"resume", "demo"}), 1, "demo: is stopped, not running");
}

}  // namespace mvm::test
