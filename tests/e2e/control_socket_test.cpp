// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include <sys/resource.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

void check_serves(const Sandbox& box) {
  const Outcome echoed = box.run({"vsock-connect", "demo", "7"}, {.input = "alive"});
  INFO(echoed.err);
  CHECK(echoed.out == "alive");
  CHECK(box.state("demo") == "running");
}

}  // namespace

TEST_CASE("garbage on the control socket is closed and the runner goes on", "[e2e][control]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string path = box.field("demo", "control_socket");
  const std::string huge_length("\xff\xff\xff\xff", 4);
  for (const std::string& garbage : {some_bytes(100'000), huge_length, std::string("GET / HTTP/1.1\r\n\r\n"),
                                     std::string("\0\0\0\4", 4) + "\xff\xff\xff\xff", std::string(5000, '\xff')}) {
    const Fd client = connect_unix(path);
    REQUIRE(client);
    try {
      send_all(client, garbage);
    } catch (const std::runtime_error&) {
      // Closed before all was said.
    }
    CHECK(receive_to_end(client).empty());
  }
  check_serves(box);
}

TEST_CASE("empty and half messages on the control socket hold nobody up", "[e2e][control]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string path = box.field("demo", "control_socket");
  std::vector<Fd> clients;
  for (const std::string& part : {std::string(), std::string("\0", 1), std::string("\0\0\0\x10", 4),
                                  std::string("\0\0\0\x10half", 8), std::string("\0\0\0\0", 4)}) {
    clients.push_back(connect_unix(path));
    REQUIRE(clients.back());
    send_all(clients.back(), part);
  }
  check_serves(box);
  clients.clear();
  check_serves(box);
  box.must({"stop", "demo"});
}

TEST_CASE("clients that go before their answer comes do no harm", "[e2e][control]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "connect-delay=100"});
  for (int i = 0; i < 20; ++i) {
    Process client = box.start({"vsock-connect", "demo", "7"});
    readable(watch_exit(client.pid()).get(), milliseconds(i * 2));
    client.send_signal(SIGKILL);
  }
  check_serves(box);
}

TEST_CASE("1000 idle clients of the control socket leave room for one that works", "[e2e][control]") {
  const Sandbox box;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  NEEDS("2048 descriptors", limit.rlim_cur >= 2048);
  // The limit that services and logins have by default.
  box.must(box.boot_arguments("demo"), {.prefix = {"/bin/sh", "-c", "ulimit -Sn 1024; exec \"$@\"", "sh"}});
  const std::string path = box.field("demo", "control_socket");
  std::vector<Fd> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(connect_unix(path));
    REQUIRE(clients.back());
  }
  check_serves(box);
  box.must({"stop", "demo"});
  for (const auto& client : clients) CHECK(receive_to_end(client).empty());
}

TEST_CASE("a runner without descriptors says once that commands wait, and serves them when some come free",
          "[e2e][control]") {
  const Sandbox box;
  box.must(box.boot_arguments("demo"), {.prefix = {"/bin/sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"}});
  const std::string path = box.field("demo", "control_socket");
  std::vector<Fd> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(connect_unix(path));
    REQUIRE(clients.back());
  }
  CHECK_FALSE(readable(clients.back().get(), 450ms));  // the runner tries again and again meanwhile
  clients.clear();
  check_serves(box);
  const std::string log = slurp(box.vm("demo") / "runner.log");
  const std::string line = "control socket: cannot accept: ";
  const size_t first = log.find(line);
  REQUIRE(first != std::string::npos);
  CHECK(log.find(line, first + 1) == std::string::npos);
}

TEST_CASE("connections handed to other processes leave the runner the descriptors to be stopped by", "[e2e][control]") {
  const Sandbox box;
  box.must(box.boot_arguments("demo"), {.prefix = {"/bin/sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"}});
  std::vector<Process> connected;
  bool served = true;
  while (served && connected.size() < 64) {
    connected.push_back(box.start({"vsock-connect", "demo", "7"}));
    connected.back().write("x");
    served = connected.back().wait_out("x");
  }
  const Outcome refused = served ? Outcome() : connected.back().wait();
  CHECK_FAILS(refused, 1, "ulimit -n");
  box.must({"stop", "demo"});
}

TEST_CASE("a process of another user is refused by both sockets", "[e2e][control]") {
  const Sandbox box;
  const Args nobody = is_root() ? as_nobody() : Args();
  NEEDS("to be root, and another user", !nobody.empty());
  NEEDS("a python3 that is for everybody", fs::exists("/usr/bin/python3"));
  box.must_boot("demo");
  // As if every permission of a file had failed to protect them.
  const fs::path control = box.field("demo", "control_socket");
  const fs::path vsock = box.field("demo", "vsock_socket");
  for (fs::path p = control; p != "/tmp"; p = p.parent_path()) fs::permissions(p, fs::perms::all);
  fs::permissions(vsock, fs::perms::all);
  const auto talk = [&](const fs::path& path, const std::string& bytes) {
    Args command = nobody;
    const std::string script =
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n"
        "print('connected')\n"
        "try:\n s.sendall(" +
        bytes +
        "); print('heard', s.recv(100))\n"
        "except ConnectionError: print('heard', b'')\n";
    command.insert(command.end(), {"/usr/bin/python3", "-c", script, path.string()});
    return box.run_program(command);
  };
  const Outcome stop = talk(control, "bytes([0,0,0,4,8,1,26,0])");  // {id: 1, stop: {}}
  INFO(stop.err);
  CHECK(stop.out == "connected\nheard b''\n");
  CHECK(talk(vsock, "b'CONNECT 7\\n'").out == "connected\nheard b''\n");
  check_serves(box);
  CHECK_THAT(box.must({"logs", "demo", "--runner"}).out, ContainsSubstring("another user"));
}

TEST_CASE("a VM whose sockets were cleaned away is still stopped", "[e2e][control]") {
  const Sandbox box;
  box.must_boot("demo");
  fs::remove_all(box.runtime());
  CHECK(box.state("demo") == "running");
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 1, "does not answer");
  CHECK(box.run({"stop", "demo"}).exit_code == 0);
  CHECK(box.state("demo") == "stopped");
}

}  // namespace mvm::test
