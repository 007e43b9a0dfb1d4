// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>

#include "e2e/support/sandbox.hpp"
#include "e2e/support/stream.hpp"

namespace mvm::test {
namespace {

std::string text(uint16_t port) { return std::to_string(port); }

// What is sent to it goes no further: nobody reads what comes back.
void send_until_full(const Fd& fd, milliseconds patience = 500ms) {
  const std::string block = some_bytes(65536);
  pollfd ready{fd.get(), POLLOUT, 0};
  while (::poll(&ready, 1, static_cast<int>(patience.count())) == 1 &&
         ::send(fd.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
  }
}

void reset(Fd& fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  fd.reset();
}

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

TEST_CASE("a port is published and unpublished while the VM runs, and remembered", "[e2e][publish]") {
  const Sandbox box;
  const std::string port = text(free_port());
  box.must_boot("demo");
  box.must({"publish", "demo", port + ":7"});
  const Fd client = connect_tcp(static_cast<uint16_t>(std::stoi(port)));
  REQUIRE(client);
  send_all(client, "before");
  CHECK(receive(client, 6) == "before");
  CHECK_THAT(box.inspect("demo"), ContainsSubstring("\"host_port\": " + port));
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
  CHECK(send_and_receive(connect_tcp(static_cast<uint16_t>(std::stoi(port))), "again") == "again");
  box.must({"unpublish", "demo", port});
  CHECK_FALSE(connect_tcp(static_cast<uint16_t>(std::stoi(port))));
  CHECK_THAT(box.inspect("demo"), !ContainsSubstring("\"host_port\": " + port));
  box.must({"publish", "demo", port + ":7"});
}

TEST_CASE("a connection goes on when its port is unpublished", "[e2e][publish]") {
  const Sandbox box;
  const std::string port = text(free_port());
  box.must_boot("demo", {"--publish", port + ":7"});
  const Fd client = connect_tcp(static_cast<uint16_t>(std::stoi(port)));
  send_all(client, "one");
  CHECK(receive(client, 3) == "one");
  box.must({"unpublish", "demo", port + ":7"});
  CHECK(send_and_receive(client, "two") == "two");
}

TEST_CASE("inspect counts what goes through a published port while it goes", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  const uint16_t dead = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":7"});
  const Fd client = connect_tcp(port);
  send_all(client, "12345");
  CHECK(receive(client, 5) == "12345");
  const std::string live = box.inspect("demo");
  CHECK(json_value(live, "open") == "1");
  CHECK(json_value(live, "connections") == "1");
  CHECK(json_value(live, "refused") == "0");
  CHECK(json_value(live, "bytes_to_guest") == "5");
  CHECK(json_value(live, "bytes_from_guest") == "5");
  box.must({"unpublish", "demo", text(port)});
  box.must({"publish", "demo", text(dead) + ":4444"});
  CHECK(receive_to_end(connect_tcp(dead)).empty());
  CHECK(json_value(box.inspect("demo"), "refused") == "1");
  CHECK_THAT(slurp(box.vm("demo") / "runner.log"), ContainsSubstring("guest port 14444: "));
}

TEST_CASE("a Unix socket leads to a guest port, at boot and later, and goes with it", "[e2e][publish]") {
  const Sandbox box;
  const fs::path one = box.root() / "one.sock";
  const fs::path two = box.root() / "two.sock";
  box.must_boot("demo", {"--publish", "unix:" + one.string() + ":7"});
  CHECK(send_and_receive(connect_unix(one), "one") == "one");
  CHECK((fs::status(one).permissions() & fs::perms::mask) == (fs::perms::owner_read | fs::perms::owner_write));
  box.must({"publish", "demo", "unix:" + two.string() + ":7"});
  CHECK(send_and_receive(connect_unix(two), "two") == "two");
  box.must_boot("other");
  CHECK_FAILS(box.run({"publish", "other", "unix:" + two.string() + ":7"}), 1, "is served by another program or VM");
  const fs::path file = box.write("file", "mine");
  CHECK_FAILS(box.run({"publish", "other", "unix:" + file.string() + ":7"}), 1, file.string());
  CHECK(slurp(file) == "mine");
  box.must({"unpublish", "demo", "unix:" + two.string()});
  CHECK_FALSE(fs::exists(two));
  box.must({"stop", "demo"});
  CHECK_FALSE(fs::exists(one));
}

TEST_CASE("a port is published on IPv6 while the VM runs", "[e2e][publish]") {
  const Sandbox box;
  const std::string port = text(free_port());
  box.must_boot("demo");
  NEEDS("IPv6", fs::exists("/proc/net/if_inet6") && !slurp("/proc/net/if_inet6").empty());
  box.must({"publish", "demo", "[::1]:" + port + ":7"});
  CHECK_FAILS(box.run({"publish", "demo", "[::1]:" + port + ":7"}), 2, "publishes [::1]:" + port + " already");
  CHECK_FAILS(box.run({"unpublish", "demo", port}), 1, "does not publish 127.0.0.1:" + port);
  box.must({"unpublish", "demo", "[::1]:" + port});
}

TEST_CASE("what cannot be published on a running VM is refused with the reason and changes nothing", "[e2e][publish]") {
  const Sandbox box;
  const std::string port = text(free_port());
  box.must_boot("one", {"--publish", port + ":7"});
  box.must_boot("two");
  const auto publish = [&](const char* name, const std::string& what) { return box.run({"publish", name, what}); };
  CHECK_FAILS(publish("one", port + ":80"), 2, "one: publishes 127.0.0.1:" + port + " already, to guest port 7");
  CHECK_FAILS(publish("two", port + ":7"), 1, "is in use by another program or VM");
  CHECK_FAILS(publish("two", "192.0.2.1:" + port + ":7"), 1, "192.0.2.1 is not an address of this machine");
  CHECK_FAILS(publish("two", "65536:7"), 2, "publish 65536:7: host port 65536 is not a port");
  CHECK_FAILS(publish("two", "8080:55536"), 2, "guest port 55536 is over 55535");
  CHECK_FAILS(publish("two", "8080"), 2, "is not [ADDR:]HOST:GUEST");
  CHECK_FAILS(publish("two", "unix::7"), 2, "has no path");
  CHECK_FAILS(publish("none", "8080:80"), 3, "none");
  CHECK_FAILS(box.run({"unpublish", "one", port + ":80"}), 1, "to guest port 7, not 80");
  CHECK_FAILS(box.run({"unpublish", "two", port}), 1, "two: does not publish 127.0.0.1:" + port);
  CHECK_THAT(box.inspect("two"), !ContainsSubstring("\"host_port\""));
  CHECK(send_and_receive(connect_tcp(static_cast<uint16_t>(std::stoi(port))), "still") == "still");
  box.must({"stop", "two"});
  CHECK_FAILS(publish("two", port + ":7"), 1, "two: is stopped, not running");
}

TEST_CASE("clients that never read, say nothing or reset do not hold up the others", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must_boot("demo", {"--publish", text(port) + ":7"});
  const Fd silent = connect_tcp(port);
  Fd deaf = connect_tcp(port);
  send_until_full(deaf);
  for (int i = 0; i < 20; ++i) {
    Fd rude = connect_tcp(port);
    send_all(rude, some_bytes(100'000));
    reset(rude);
  }
  const std::string bytes = some_bytes(1 << 20);
  CHECK((send_and_receive(connect_tcp(port), bytes) == bytes));
  send_all(silent, "now");
  CHECK(receive(silent, 3) == "now");
  reset(deaf);
  CHECK((send_and_receive(connect_tcp(port), bytes) == bytes));
  CHECK(box.state("demo") == "running");
}

TEST_CASE("a runner out of descriptors serves those it has, says so once and goes on when some come free",
          "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must(box.boot_arguments("demo", {"--publish", text(port) + ":7"}),
           {.prefix = {"/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"}});
  std::vector<Fd> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(connect_tcp(port));
    REQUIRE(clients.back());
    send_all(clients.back(), "x");
  }
  CHECK(receive(clients.front(), 1) == "x");
  clients.clear();
  CHECK(send_and_receive(connect_tcp(port), "at last") == "at last");
  CHECK_THAT(slurp(box.vm("demo") / "runner.log"), ContainsSubstring("ulimit -n"));
  CHECK(box.state("demo") == "running");
}

TEST_CASE("clients that never read leave the runner the descriptors to be reached and stopped by", "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must(box.boot_arguments("demo", {"--publish", text(port) + ":7"}),
           {.prefix = {"/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"}});
  std::vector<Fd> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(connect_tcp(port));
    REQUIRE(clients.back());
  }
  for (const auto& client : clients) send_until_full(client, 50ms);
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
  const std::string other = text(free_port());
  box.must({"publish", "demo", other + ":80"});
  box.must({"unpublish", "demo", other});
  box.must({"stop", "demo"});
}

TEST_CASE("clients that come and go beside a full table of descriptors are served or wait, and none is refused",
          "[e2e][publish]") {
  const Sandbox box;
  const uint16_t port = free_port();
  box.must(box.boot_arguments("demo", {"--publish", text(port) + ":7"}),
           {.prefix = {"/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"}});
  std::vector<Fd> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(connect_tcp(port));
    REQUIRE(clients.back());
    send_all(clients.back(), "x");
  }
  size_t served = 0;
  while (readable(clients[served].get(), 500ms)) ++served;
  for (size_t i = 0; i < 20; ++i) {
    clients[i].reset();
    REQUIRE(receive(clients[served + i], 1) == "x");
  }
  CHECK(json_value(box.inspect("demo"), "refused") == "0");
}

}  // namespace mvm::test
