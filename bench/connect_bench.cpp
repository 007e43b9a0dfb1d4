// SPDX-License-Identifier: Apache-2.0
// A vsock connection from another process, until the guest's first byte is back, with the mock: over the control
// socket, which hands over the guest's descriptor, and over vsock.sock, which the runner relays. Beside them an echo
// over a plain Unix socket, the least it can take. The reference polls every 50 ms: nobody can connect sooner there.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control_client.hpp"
#include "measure.hpp"
#include "sandbox.hpp"
#include "store/vm_store.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::bench;

namespace {

constexpr int connections = 2000;
constexpr uint32_t echo_port = 7;

void echo_one_byte(int fd) {
  char byte = 'x';
  if (::write(fd, &byte, 1) != 1 || ::read(fd, &byte, 1) != 1) give_up("one byte there and back");
}

UniqueFd connect_to(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up(path);
  return fd;
}

void print(const char* what, const Spread& s) {
  std::printf("%-58s %9.1f %9.1f %9.1f %9.1f us\n", what, s.min * 1000, s.median * 1000, s.p99 * 1000, s.max * 1000);
  std::fflush(stdout);
}

Spread plain_echo() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) give_up("socketpair");
  std::thread echo([fd = ends[1]] {
    char byte = 0;
    while (::read(fd, &byte, 1) == 1) {
      if (::write(fd, &byte, 1) != 1) return;
    }
  });
  const auto spread = time_ms(
      connections, [&] { echo_one_byte(ends[0]); }, [] {});
  ::close(ends[0]);
  echo.join();
  ::close(ends[1]);
  return spread;
}

UniqueFd ask_for_connection(ControlClient& client) {
  pb::ControlRequest request;
  request.mutable_vsock_connect()->set_port(echo_port);
  auto answer = client.call(request, std::chrono::seconds(5));
  if (!answer) give_up(answer.error().message);
  return std::move(answer->fd);
}

std::unique_ptr<ControlClient> control_client(const VmSockets& sockets) {
  auto client = ControlClient::connect(sockets.control());
  if (!client) give_up(client.error().message);
  return std::move(*client);
}

void by_control_socket(const VmSockets& sockets) {
  auto client = control_client(sockets);
  UniqueFd connection;
  const auto work = [&] {
    connection = ask_for_connection(*client);
    echo_one_byte(connection.get());
  };
  const auto close = [&] { connection.reset(); };
  print("control socket, fd passed, client kept", time_ms(connections, work, close));
  const auto from_new = [&] {
    client = control_client(sockets);
    work();
  };
  print("control socket, fd passed, a new client each", time_ms(connections, from_new, close));
}

void by_vsock_socket(const VmSockets& sockets) {
  const std::string line = "CONNECT " + std::to_string(echo_port) + "\n";
  UniqueFd connection;
  const auto work = [&] {
    connection = connect_to(sockets.vsock());
    if (::write(connection.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) give_up("vsock.sock");
    for (char byte = 0; byte != '\n';) {
      if (::read(connection.get(), &byte, 1) != 1) give_up("vsock.sock: no OK");
    }
    echo_one_byte(connection.get());
  };
  print("vsock.sock, CONNECT, relayed", time_ms(connections, work, [&] { connection.reset(); }));
}

}  // namespace

// mvm-connect-bench
int main() {
  const Sandbox sandbox;
  must_run({MVMHOST, "--hypervisor", "mock", "boot", "bench", "--kernel", sandbox.kernel()});
  const auto record = VmStore::at({})->read(*VmName::parse("bench"));
  if (!record) give_up(record.error().message);
  const VmSockets sockets{record->socket_dir()};
  std::printf("%-58s %9s %9s %9s %9s\n", "vsock connection, first byte back", "min", "median", "p99", "max");
  print("an echo over a Unix socket, connected before", plain_echo());
  by_control_socket(sockets);
  by_vsock_socket(sockets);
  return 0;
}
