// SPDX-License-Identifier: Apache-2.0
#include "guest_services.hpp"

#include <utility>

#include "agent_service.hpp"
#include "byte_services.hpp"
#include "dial_service.hpp"
#include "http_service.hpp"
#include "share_service.hpp"

namespace mvm::mock {
namespace {

// A TCP port of the guest is reached over vsock at this distance.
constexpr uint32_t forwarded = 10000;

}  // namespace

GuestServices::GuestServices(boost::asio::io_context& loop, Connections& connections, const Shares& shares,
                             HostPorts& host_ports, const std::string& guest_name)
    : loop_(loop), connections_(connections) {
  const std::string page =
      "<!doctype html>\n<title>mvm</title>\n<p>Hello from the mock guest " + guest_name + ".</p>\n";
  for (const uint32_t base : {0U, forwarded}) {
    serve_echo(base + 7);
    by_port_[base + 9] = [this](Socket s) { return std::make_shared<DiscardService>(connections_, std::move(s)); };
    by_port_[base + 19] = [this](Socket s) { return std::make_shared<PatternService>(connections_, std::move(s)); };
  }
  by_port_[forwarded + 80] = [this, page](Socket s) {
    return std::make_shared<HttpService>(connections_, std::move(s), page);
  };
  by_port_[5252] = [this](Socket s) { return std::make_shared<AgentService>(connections_, std::move(s)); };
  by_port_[2049] = [this, &shares](Socket s) {
    return std::make_shared<ShareService>(connections_, std::move(s), shares);
  };
  by_port_[2050] = [this, &host_ports](Socket s) {
    return std::make_shared<DialService>(connections_, std::move(s), loop_, host_ports);
  };
}

void GuestServices::serve_echo(uint32_t port) {
  by_port_[port] = [this](Socket s) { return std::make_shared<EchoService>(connections_, std::move(s)); };
}

void GuestServices::serve_slow_echo(uint32_t port, uint64_t bytes_per_s) {
  by_port_[port] = [this, bytes_per_s](Socket s) {
    return std::make_shared<SlowEchoService>(connections_, std::move(s), bytes_per_s);
  };
}

UniqueFd GuestServices::connect(uint32_t port) {
  SocketPair pair = make_socket_pair();
  by_port_.at(port)(adopt(loop_, std::move(pair.guest)))->start();
  return std::move(pair.host);
}

}  // namespace mvm::mock
