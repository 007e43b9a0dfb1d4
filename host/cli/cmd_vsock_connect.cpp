// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <charconv>
#include <thread>

#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/hang_up.hpp"
#include "base/parse.hpp"
#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

struct ConnectOptions {
  std::string name;
  std::string port;
  std::string timeout = "10s";
};

// Until the end of `from`. False: `to` takes no more.
bool pump(int from, int to) {
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    if (!write_all(to, {buffer.data(), static_cast<size_t>(n)})) return false;
  }
}

// Each direction ends by itself: the end of standard input becomes a half-close, the guest's becomes the end of
// standard output. Over when both have ended, or the guest has closed altogether.
void join_with_stdio(int guest) {
  ::fcntl(guest, F_SETFL, ::fcntl(guest, F_GETFL) & ~O_NONBLOCK);
  std::thread([guest] {
    pump(STDIN_FILENO, guest);
    ::shutdown(guest, SHUT_WR);
  }).detach();  // may sit in read for as long as the terminal is silent
  if (!pump(guest, STDOUT_FILENO)) return;
  ::close(STDOUT_FILENO);
  wait_hang_up(guest);
}

Result<uint32_t> parse_port(const std::string& text) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  // 0xffffffff is VMADDR_PORT_ANY, no port.
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port == 0xffffffffu) {
    return fail(ErrorKind::invalid, "port {}: is not a vsock port: use 1 to 4294967294", text);
  }
  return port;
}

Result<int> connect(const GlobalOptions& globals, const ConnectOptions& options) {
  MVM_TRY(const uint32_t port, parse_port(options.port));
  MVM_TRY(const auto timeout, parse_duration("--timeout", options.timeout));
  MVM_TRY(const auto client, connect_vm(globals, options.name));
  pb::ControlRequest request;
  request.mutable_vsock_connect()->set_port(port);
  request.mutable_vsock_connect()->set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  MVM_TRY(auto answer, client->call(request, timeout + std::chrono::seconds(10)));
  if (!answer.fd) return fail(ErrorKind::failed, "{}: its runner sent no connection", options.name);
  join_with_stdio(answer.fd.get());
  return 0;
}

}  // namespace

void add_vsock_connect(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("vsock-connect", "Connect standard input and output to a vsock port of the guest");
  auto options = std::make_shared<ConnectOptions>();
  command->add_option("NAME", options->name, "The VM")->required();
  command->add_option("PORT", options->port, "The guest's port")->required();
  command->add_option("--timeout", options->timeout, "How long to wait for a port that nobody listens on yet")
      ->type_name("TIME")
      ->capture_default_str();
  command->footer("For ssh: ProxyCommand mvmhost vsock-connect NAME 22");
  command->callback(
      [&globals, &action, options] { action = [&globals, options] { return connect(globals, *options); }; });
}

}  // namespace mvm::host
