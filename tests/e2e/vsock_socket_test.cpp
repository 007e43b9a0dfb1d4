// SPDX-License-Identifier: Apache-2.0
// vsock.sock: Firecracker's convention on the host's side.
#include <sys/stat.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("vsock.sock answers CONNECT with OK and then carries raw bytes", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const Fd client = connect_unix(box.field("demo", "vsock_socket"));
  REQUIRE(client);
  send_all(client, "CONNECT 7\n");
  const std::string ok = receive_line(client);
  CHECK_THAT(ok, StartsWith("OK "));
  CHECK(ok.find_first_not_of("0123456789", 3) == std::string::npos);
  const std::string bytes = some_bytes(1 << 20);
  CHECK((send_and_receive(client, bytes) == bytes));
}

TEST_CASE("bytes sent behind CONNECT in one piece are not lost", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const Fd client = connect_unix(box.field("demo", "vsock_socket"));
  send_all(client, "CONNECT 7\nearly");
  CHECK_THAT(receive_line(client), StartsWith("OK "));
  CHECK(send_and_receive(client, " and late") == "early and late");
}

TEST_CASE("CONNECT may come a byte at a time", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const Fd client = connect_unix(box.field("demo", "vsock_socket"));
  for (const char c : std::string("CONNECT 7\n")) {
    send_all(client, std::string(1, c));
    readable(client.get(), 5ms);
  }
  CHECK_THAT(receive_line(client), StartsWith("OK "));
}

TEST_CASE("whatever is not CONNECT is closed and harms nobody", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string path = box.field("demo", "vsock_socket");
  for (const std::string& said :
       {std::string("HELLO\n"), std::string("CONNECT\n"), std::string("CONNECT 0\n"), std::string("CONNECT seven\n"),
        std::string("CONNECT 7 8\n"), std::string("CONNECT -7\n"), std::string("CONNECT 4294967296\n"),
        std::string("\n"), std::string(8, '\0') + "\n", std::string(100'000, 'C'),
        std::string("GET / HTTP/1.1\r\n\r\n"), std::string("CONNECT 4444\n")}) {
    INFO(said.substr(0, 40));
    const Fd client = connect_unix(path);
    REQUIRE(client);
    try {
      send_all(client, said);
    } catch (const std::runtime_error&) {
      // Closed before all was said.
    }
    CHECK(receive_to_end(client).find("OK") == std::string::npos);
  }
  const Fd silent = connect_unix(path);
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
  const Fd client = connect_unix(path);
  send_all(client, "CONNECT 7\n");
  CHECK_THAT(receive_line(client), StartsWith("OK "));
}

TEST_CASE("a burst of vsock.sock's clients beyond the runner's descriptors waits, and none is refused",
          "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must(box.boot_arguments("demo"), {.prefix = {"/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"}});
  const std::string path = box.field("demo", "vsock_socket");
  std::vector<Fd> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(connect_unix(path));
    REQUIRE(clients.back());
    send_all(clients.back(), "CONNECT 7\nx");
  }
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "x"}).out == "x");
  for (auto& client : clients) {
    CHECK_THAT(receive_line(client), StartsWith("OK "));
    CHECK(receive(client, 1) == "x");
    client.reset();
  }
}

TEST_CASE("the sockets are for their user alone and have short paths", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot(std::string(63, 'n'));
  for (const char* key : {"vsock_socket", "control_socket"}) {
    const std::string path = box.field(std::string(63, 'n'), key);
    struct stat s {};
    REQUIRE(::stat(path.c_str(), &s) == 0);
    CHECK((s.st_mode & 0777) == 0600);
    CHECK(path.size() < 104);
  }
}

TEST_CASE("a guest that connects to a host port reaches the socket of that port", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const fs::path path = box.field("demo", "vsock_socket") + "_1234";
  const Fd listener = listen_unix(path);
  Process guest = box.start({"vsock-connect", "demo", "2050"});
  guest.write("DIAL 1234\nhello host");
  const Fd accepted = accept_one(listener);
  REQUIRE(accepted);
  CHECK(receive(accepted, 10) == "hello host");
  send_all(accepted, "hello guest");
  REQUIRE(guest.wait_out("hello guest"));
  guest.end_input();
  CHECK(receive_to_end(accepted).empty());  // the half-close arrives
  send_all(accepted, ", bye");
  end_sending(accepted);
  const Outcome ended = guest.wait(10s);
  CHECK_THAT(ended.out, ContainsSubstring("hello guest, bye"));
  fs::remove(path);
}

TEST_CASE("a guest that connects to a port where nobody listens is refused", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK(box.must({"vsock-connect", "demo", "2050"}, {.input = "DIAL 4321\n"}).out == "ERR refused\n");
}

TEST_CASE("a listener that stands before the boot gets the guest's first call", "[e2e][vsock-socket]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string path = box.field("demo", "vsock_socket") + "_52";
  box.must({"stop", "demo"});
  fs::create_directories(fs::path(path).parent_path());
  fs::permissions(fs::path(path).parent_path(), fs::perms::owner_all);
  const Fd listener = listen_unix(path);
  box.must({"boot", "demo", "--option", "guest-connect=52:ready"});
  const Fd accepted = accept_one(listener);
  CHECK(receive(accepted, 5) == "ready");
  box.must({"stop", "demo"});
  CHECK(fs::exists(path));  // not ours to remove
  fs::remove(path);
}

}  // namespace mvm::test
