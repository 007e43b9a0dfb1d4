// SPDX-License-Identifier: Apache-2.0
#include "forward/port_forwarder.hpp"

#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "forward/listener.hpp"
#include "forward/relay.hpp"
#include "forward/sockets.hpp"

namespace mvm::host {
namespace {

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

bool to_endpoint(const std::string& address, uint16_t port, Endpoint& endpoint) {
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&endpoint.storage);
      ::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    endpoint.size = sizeof(*v4);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&endpoint.storage);
  if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  endpoint.size = sizeof(*v6);
  return true;
}

// "127.0.0.1:8080:80", as --publish takes it.
std::string publish_text(const std::string& address, uint16_t host_port, uint16_t guest_port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  return formatted("{}{}{}:{}:{}", is_v6 ? "[" : "", address, is_v6 ? "]" : "", host_port, guest_port);
}

std::string why_not_bound(int error, const std::string& address, uint16_t port) {
  switch (error) {
    case EADDRINUSE:
      return formatted(
          "port {} of {} is in use by another program or VM; publish another host port, or end what "
          "listens there",
          port, address);
    case EACCES:
    case EPERM:
      return formatted("port {} may not be used: ports below 1024 take privileges; publish one from 1024 on", port);
    case EADDRNOTAVAIL:
      return formatted("{} is not an address of this machine; use one that is, or {} for all of them", address,
                       address.find(':') == std::string::npos ? "0.0.0.0" : "[::]");
    case EAFNOSUPPORT:
      return formatted("this machine has no {}", address.find(':') == std::string::npos ? "IPv4" : "IPv6");
    default:
      return formatted("port {} of {} cannot be listened on: {}", port, address, errno_words(error));
  }
}

// 0, or the error.
int bind_and_listen(int fd, const Endpoint& endpoint) {
  const int on = 1;
  // A boot soon after a stop must not wait for old connections to time out.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (endpoint.family() == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (::bind(fd, endpoint.address(), endpoint.size) != 0) return errno;
  return ::listen(fd, SOMAXCONN) == 0 ? 0 : errno;
}

class TcpForwarder final : public PortForwarder {
 public:
  TcpForwarder(boost::asio::io_context& loop, UniqueFd listening, std::string label, uint16_t guest_port)
      : loop_(loop),
        label_(std::move(label)),
        vsock_port_(guest_forward_base + guest_port),
        listener_(std::make_shared<Listener>(loop, std::move(listening), label_)) {}
  ~TcpForwarder() override { listener_->close(); }

  void start(GuestConnector connect) override {
    listener_->start([&loop = loop_, label = label_, port = vsock_port_, connect = std::move(connect)](
                         UniqueFd client, std::function<void()> gone) {
      serve(loop, label, port, connect, std::move(client), std::move(gone));
    });
  }

 private:
  // Nothing of the forwarder: a connection outlives it.
  static void serve(boost::asio::io_context& loop, const std::string& label, uint32_t port,
                    const GuestConnector& connect, UniqueFd client, std::function<void()> gone) {
    set_no_delay(client.get());
    auto held = std::make_shared<UniqueFd>(std::move(client));
    connect(port, std::chrono::milliseconds(0),
            [&loop, label, port, held, gone = std::move(gone)](Result<UniqueFd> guest) {
              if (!guest) {
                log::warn("{}: guest port {}: {}; the client was closed", label, port, guest.error().message);
                held->reset();
                return gone();
              }
              set_no_delay(guest->get());
              start_relay(loop, std::move(*held), std::move(*guest), {}, [gone](RelayTotals) { gone(); });
            });
  }

  boost::asio::io_context& loop_;
  std::string label_;
  uint32_t vsock_port_;
  std::shared_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<PortForwarder>> PortForwarder::bind(boost::asio::io_context& loop, const std::string& address,
                                                           uint16_t host_port, uint16_t guest_port) {
  const std::string label = "--publish " + publish_text(address, host_port, guest_port);
  Endpoint endpoint;
  if (!to_endpoint(address, host_port, endpoint)) {
    return fail(ErrorKind::invalid, "{}: address {} is not a numeric one; write for instance 127.0.0.1 or [::1]", label,
                address);
  }
  UniqueFd socket = open_stream_socket(endpoint.family());
  const int error = socket ? bind_and_listen(socket.get(), endpoint) : errno;
  if (error != 0) return fail(ErrorKind::failed, "{}: {}", label, why_not_bound(error, address, host_port));
  return std::make_unique<TcpForwarder>(loop, std::move(socket), label, guest_port);
}

}  // namespace mvm::host
