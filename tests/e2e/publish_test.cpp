// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

std::string text(uint16_t port) { return std::to_string(port); }

}  // namespace

TEST_CASE("a published port answers HTTP from the guest", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":80"});
  for (int i = 0; i < 3; ++i) {
    const Fd client = connect_tcp(port);
    REQUIRE(client);
    send_all(client, "GET / HTTP/1.0\r\n\r\n");
    const std::string answer = receive_to_end(client);
    CHECK_THAT(answer, StartsWith("HTTP/1.") && ContainsSubstring(" 200 "));
  }
  if (has_program("curl")) {
    const Outcome fetched = box.run_program({"curl", "-sSf", "--noproxy", "*", "http://127.0.0.1:" + text(port) + "/"});
    CHECK(fetched.exit_code == 0);
    CHECK_FALSE(fetched.out.empty());
  }
}

TEST_CASE("a megabyte and a half-close go through a published port both ways", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":7"});
  const std::string bytes = some_bytes(1 << 20);
  const Fd client = connect_tcp(port);
  REQUIRE(client);
  CHECK(send_and_receive(client, bytes) == bytes);
}

TEST_CASE("many published connections live beside each other", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  // The limit that services and logins have by default.
  box.must(box.boot_arguments("demo", {"--publish", text(port) + ":7"}),
           {.prefix = {"/bin/sh", "-c", "ulimit -Sn 1024; exec \"$@\"", "sh"}});
  std::vector<Fd> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(connect_tcp(port));
    REQUIRE(clients.back());
    send_all(clients.back(), "client " + text(static_cast<uint16_t>(i)) + "\n");
  }
  for (int i = 0; i < 400; ++i) {
    INFO("client " << i);
    REQUIRE(receive_line(clients[static_cast<size_t>(i)]) == "client " + text(static_cast<uint16_t>(i)));
  }
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
}

TEST_CASE("a client of a port that nobody serves in the guest is closed", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":4444"});
  const Fd client = connect_tcp(port);
  REQUIRE(client);
  CHECK(receive_to_end(client).empty());
  CHECK(box.state("demo") == "running");
}

TEST_CASE("what is not HOST:GUEST is refused with an example", "[e2e][publish]") {
  const Sandbox box;
  for (const char* publish : {"8080", "8080:", ":80", "0:80", "8080:0", "65536:80", "8080:65536", "8080:55536", "-1:80",
                              "8080:80:90:100", "localhost:8080:80", "::1:8080:80", "[::1:8080:80", "8080:80/udp",
                              "1.2.3:8080:80", "80 80:80", "8080-8090:80", "99999999999999999999:80"}) {
    INFO("publish " << publish);
    CHECK_FAILS(box.boot("demo", {"--publish", publish}), 2, "--publish");
  }
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
}

TEST_CASE("a host port that is given twice is refused", "[e2e][publish]") {
  const Sandbox box;
  const std::string port = text(free_port());
  CHECK_FAILS(box.boot("demo", {"--publish", port + ":80", "--publish", port + ":81"}), 2, port);
  CHECK_FAILS(box.boot("demo", {"--publish", port + ":80", "--publish", "127.0.0.1:" + port + ":80"}), 2, port);
}

TEST_CASE("a host port that somebody else has fails the boot by name", "[e2e][publish]") {
  const Sandbox box;
  const Fd taken = listen_tcp(0);
  const std::string port = text(port_of(taken));
  CHECK_FAILS(box.boot("demo", {"--publish", port + ":80"}), 1, "127.0.0.1:" + port + ":80");
  CHECK_FAILS(box.boot("demo", {"--publish", port + ":80"}), 1, "in use");
  CHECK(box.state("demo") == "failed");
  CHECK_THAT(box.field("demo", "last_error"), ContainsSubstring(port));
  CHECK(box.processes().empty());
}

TEST_CASE("two VMs cannot publish the same port and the first keeps it", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("one", {"--publish", text(port) + ":7"});
  CHECK_FAILS(box.boot("two", {"--publish", text(port) + ":7"}), 1, "in use");
  const Fd client = connect_tcp(port);
  REQUIRE(client);
  CHECK(send_and_receive(client, "still") == "still");
  box.must({"stop", "one"});
  box.must({"boot", "two"});
}

TEST_CASE("an address that is not this machine's fails the boot by name", "[e2e][publish]") {
  const Sandbox box;
  CHECK_FAILS(box.boot("demo", {"--publish", "192.0.2.1:8080:80"}), 1, "192.0.2.1");
}

TEST_CASE("a privileged port is refused to a user without privileges", "[e2e][publish]") {
  const Sandbox box;
  const Args nobody = is_root() ? as_nobody() : Args();
  NEEDS("another user to be", !is_root() || !nobody.empty());
  NEEDS("privileged ports", slurp("/proc/sys/net/ipv4/ip_unprivileged_port_start") == "1024\n");
  fs::permissions(box.root(), fs::perms::all);
  CHECK_FAILS(box.run(box.boot_arguments("demo", {"--home", box.root() / "s", "--publish", "81:80"}),
                      {.environment = {{"MVM_RUNTIME_DIR", (box.root() / "r").string()}}, .prefix = nobody}),
              1, "ports below 1024 take privileges");
}

TEST_CASE("a published port is free again at once after stop", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":7"});
  for (int i = 0; i < 3; ++i) {
    const Fd client = connect_tcp(port);
    REQUIRE(client);
    send_all(client, "x");
    CHECK(receive(client, 1) == "x");
    box.must({"stop", "demo"});
    CHECK_FALSE(connect_tcp(port));
    box.must({"boot", "demo"});
  }
}

}  // namespace mvm::test
