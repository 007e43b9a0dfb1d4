// SPDX-License-Identifier: Apache-2.0
#include "forward/port_forwarder.hpp"

#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/local_socket.hpp"
#include "base/log.hpp"
#include "base/log_pace.hpp"
#include "base/parse.hpp"
#include "forward/listener.hpp"
#include "forward/relay.hpp"
#include "forward/sockets.hpp"

namespace mvm::host {
namespace {

constexpr int lock_attempts = 200;

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
    case EINVAL:
      return formatted(
          "{} is an address that takes its interface's name too, which cannot be given; use another one of "
          "this machine, or [::] for all of them",
          address);
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

// Shared by a forwarder and its connections, which outlive it. On the loop.
struct Port {
  Port(boost::asio::io_context& on, std::string name, uint16_t guest_port)
      : loop(on), label(std::move(name)), vsock_port(guest_forward_base + guest_port) {}

  boost::asio::io_context& loop;
  std::string label;
  uint32_t vsock_port;
  uint64_t open = 0;
  uint64_t connections = 0;
  uint64_t refused = 0;
  size_t dialling = 0;
  LogPace refusals{std::chrono::seconds(1)};
  std::shared_ptr<RelayTotals> bytes = std::make_shared<RelayTotals>();
};

// One client, from its arrival until its relay begins. Owned by its handlers.
class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(std::shared_ptr<Port> port, GuestConnector connect, UniqueFd fd, std::function<void()> gone)
      : port_(std::move(port)), connect_(std::move(connect)), fd_(std::move(fd)), gone_(std::move(gone)) {
    set_no_delay(fd_.get());
    ++port_->open;
    ++port_->connections;
  }

  void dial() {
    ++port_->dialling;
    connect_(port_->vsock_port, std::chrono::milliseconds(0), [self = shared_from_this()](Result<UniqueFd> guest) {
      --self->port_->dialling;
      if (guest) return self->relay(std::move(*guest));
      self->refuse(guest.error().message);
    });
  }

 private:
  void relay(UniqueFd guest) {
    set_no_delay(guest.get());
    start_relay(
        port_->loop, std::move(fd_), std::move(guest), {},
        [port = port_, gone = std::move(gone_)](RelayTotals) {
          --port->open;
          gone();
        },
        port_->bytes);
  }

  void refuse(const std::string& why) {
    ++port_->refused;
    --port_->open;
    if (const auto unsaid = port_->refusals.pass()) {
      log::warn("{}: guest port {}: {}; the client was closed{}", port_->label, port_->vsock_port, why,
                *unsaid > 0 ? formatted(", as were {} before it", *unsaid) : "");
    }
    fd_.reset();
    gone_();
  }

  std::shared_ptr<Port> port_;
  GuestConnector connect_;
  UniqueFd fd_;
  std::function<void()> gone_;
};

// The path of a listening Unix socket, removed in the end unless it is another's by then.
class SocketFile {
 public:
  SocketFile() = default;
  explicit SocketFile(std::filesystem::path path) : path_(std::move(path)) {
    struct stat found {};
    if (::lstat(path_.c_str(), &found) == 0) inode_ = found.st_ino;
  }
  SocketFile(SocketFile&& other) noexcept : path_(std::exchange(other.path_, {})), inode_(other.inode_) {}
  SocketFile& operator=(SocketFile&&) = delete;
  ~SocketFile() {
    struct stat found {};
    if (!path_.empty() && ::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) ::unlink(path_.c_str());
  }

 private:
  std::filesystem::path path_;
  ino_t inode_ = 0;
};

class SocketForwarder final : public PortForwarder {
 public:
  SocketForwarder(boost::asio::io_context& loop, UniqueFd listening, SocketFile file, std::string label,
                  uint16_t guest_port)
      : port_(std::make_shared<Port>(loop, std::move(label), guest_port)),
        listener_(std::make_shared<Listener>(loop, std::move(listening), port_->label)),
        file_(std::move(file)) {}
  ~SocketForwarder() override { listener_->close(); }

  void start(GuestConnector connect) override {
    listener_->start(
        [port = port_, connect = std::move(connect)](UniqueFd client, std::function<void()> gone) {
          std::make_shared<Client>(port, connect, std::move(client), std::move(gone))->dial();
        },
        [port = port_] { return port->dialling * descriptors_per_client; });
  }

  Traffic traffic() const override {
    return {port_->open, port_->connections, port_->refused, port_->bytes->bytes_a_to_b, port_->bytes->bytes_b_to_a};
  }

 private:
  std::shared_ptr<Port> port_;
  std::shared_ptr<Listener> listener_;
  SocketFile file_;
};

// What stands in the way there already. Empty: nothing that can be seen.
std::string why_no_socket(const std::filesystem::path& path) {
  std::error_code error;
  const auto found = std::filesystem::symlink_status(path, error);
  if (std::filesystem::exists(found) && !std::filesystem::is_socket(found)) {
    return formatted("{} is there already, and is no socket; publish another path", path.string());
  }
  if (path.native().size() >= sizeof(sockaddr_un::sun_path)) {
    return formatted("{} has {} bytes, and a socket's path has {} at most; publish a shorter one", path.string(),
                     path.native().size(), sizeof(sockaddr_un::sun_path) - 1);
  }
  if (!std::filesystem::is_directory(path.parent_path(), error)) {
    return formatted("{} is no directory; make it first, or publish another path", path.parent_path().string());
  }
  return {};
}

// Two VMs that publish the same path at the same time must not both find nobody there: whoever looks and listens holds
// the directory meanwhile. One that cannot be locked is used without.
UniqueFd lock_directory(const std::filesystem::path& directory) {
  UniqueFd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  // All who take it let go of it after a few system calls. A program that holds it for long, for reasons of its own,
  // does not hold up the loop.
  for (int i = 0; fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && i < lock_attempts; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return fd;
}

// listen_local replaces a socket that lies there; one that somebody serves must stay.
Result<UniqueFd> listen_unix(const std::string& label, const std::string& path) {
  if (const std::string why = why_no_socket(path); !why.empty()) return fail(ErrorKind::failed, "{}: {}", label, why);
  const UniqueFd alone = lock_directory(std::filesystem::path(path).parent_path());
  if (const UniqueFd served = connect_local(path); served || errno == EAGAIN) {
    return fail(ErrorKind::failed,
                "{}: {} is served by another program or VM; publish another path, or end what serves it", label, path);
  }
  auto socket = listen_local(path);
  if (!socket) return fail(socket.error().kind, "{}: {}", label, socket.error().message);
  return socket;
}

Result<UniqueFd> listen_tcp(const std::string& label, const std::string& address, uint16_t port) {
  Endpoint endpoint;
  if (!to_endpoint(address, port, endpoint)) {
    return fail(ErrorKind::invalid, "{}: address {} is not a numeric one; write for instance 127.0.0.1 or [::1]", label,
                address);
  }
  UniqueFd socket = open_stream_socket(endpoint.family());
  const int error = socket ? bind_and_listen(socket.get(), endpoint) : errno;
  if (error != 0) return fail(ErrorKind::failed, "{}: {}", label, why_not_bound(error, address, port));
  return socket;
}

}  // namespace

Result<std::unique_ptr<PortForwarder>> PortForwarder::bind(boost::asio::io_context& loop, const std::string& address,
                                                           uint16_t host_port, uint16_t guest_port) {
  const std::string label = formatted("--publish {}:{}", host_end_text(address, host_port), guest_port);
  if (!address.starts_with(unix_prefix)) {
    MVM_TRY(UniqueFd socket, listen_tcp(label, address, host_port));
    return std::make_unique<SocketForwarder>(loop, std::move(socket), SocketFile(), label, guest_port);
  }
  const std::string path = address.substr(unix_prefix.size());
  MVM_TRY(UniqueFd socket, listen_unix(label, path));
  return std::make_unique<SocketForwarder>(loop, std::move(socket), SocketFile(path), label, guest_port);
}

}  // namespace mvm::host
