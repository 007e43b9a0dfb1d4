// SPDX-License-Identifier: Apache-2.0
#include "forward/vsock_socket.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/local_socket.hpp"
#include "base/log.hpp"
#include "base/log_pace.hpp"
#include "forward/connect_line.hpp"
#include "forward/listener.hpp"
#include "forward/relay.hpp"
#include "forward/sockets.hpp"

namespace mvm::host {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds handshake_timeout{10};

// Shared by the socket and its handshakes, which outlive it. On the loop.
struct Door {
  size_t handshakes = 0;
  LogPace refusals{std::chrono::seconds(1)};
};

// One client, from its arrival until its relay begins. Owned by its handlers.
class Handshake : public std::enable_shared_from_this<Handshake> {
 public:
  Handshake(boost::asio::io_context& loop, std::shared_ptr<Door> door, const GuestConnector& connect,
            std::function<void()> gone)
      : loop_(loop),
        door_(std::move(door)),
        socket_(loop.get_executor()),
        timer_(loop.get_executor()),
        gone_(std::move(gone)),
        connect_(connect) {
    ++door_->handshakes;
  }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;
  ~Handshake() { --door_->handshakes; }

  void start(UniqueFd client) {
    error_code error;
    socket_.assign(client.get(), error);
    if (error) return refuse("cannot be watched by the event loop");
    client.release();
    read();  // most have said it by now
  }

 private:
  void wait() {
    if (!std::exchange(patience_begun_, true)) {
      timer_.expires_after(handshake_timeout);
      timer_.async_wait([self = shared_from_this()](error_code cancelled) {
        if (!cancelled && !self->answered_) self->refuse("said nothing for 10 s");
      });
    }
    socket_.async_wait(LoopFd::wait_read, [self = shared_from_this()](error_code error) {
      if (!error && !self->answered_) self->read();
    });
  }

  void read() {
    std::array<char, 512> buffer;
    const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
    if (got < 0 && would_block(errno)) return wait();
    if (got <= 0) return refuse("went before it said CONNECT");
    received_.append(buffer.data(), static_cast<size_t>(got));
    const ConnectLine line = parse_connect_line(received_);
    if (line.state == ConnectLine::State::incomplete) return wait();
    if (line.state == ConnectLine::State::refused) return refuse("did not say \"CONNECT <port>\"");
    connect(line);
  }

  void connect(const ConnectLine& line) {
    answered_ = true;
    timer_.cancel();
    received_.erase(0, line.size_bytes);
    // Its handlers hold this; the connector's answer is the last of them.
    std::exchange(connect_, nullptr)(line.port, std::chrono::milliseconds(0),
                                     [self = shared_from_this(), port = line.port](Result<UniqueFd> guest) {
                                       guest ? self->relay(std::move(*guest)) : self->fail(port, guest.error());
                                     });
  }

  void relay(UniqueFd guest) {
    // Firecracker's <n> is the number of its end of the connection; so is ours, counted from the same base.
    static std::atomic<uint32_t> next_local_port{1U << 30};
    const std::string ok = formatted("OK {}\n", next_local_port++);
    UniqueFd client(socket_.release());
    // Nothing was sent before: a socket that has no room for this is broken.
    if (send_some(client.get(), ok.data(), ok.size()) != static_cast<ssize_t>(ok.size())) return gone_();
    start_relay(loop_, std::move(client), std::move(guest), std::move(received_),
                [gone = std::move(gone_)](RelayTotals) { gone(); });
  }

  void fail(uint32_t port, const Error& error) {
    if (const auto unsaid = door_->refusals.pass()) {
      log::warn("vsock.sock: guest port {}: {}; the client was closed{}", port, error.message,
                *unsaid > 0 ? formatted(", as were {} before it", *unsaid) : "");
    }
    close();
  }

  void refuse(std::string_view why) {
    log::debug("vsock.sock: a client {}; it was closed", why);
    close();
  }

  void close() {
    answered_ = true;
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    gone_();
  }

  boost::asio::io_context& loop_;
  std::shared_ptr<Door> door_;
  LoopFd socket_;
  LoopTimer timer_;
  std::function<void()> gone_;
  GuestConnector connect_;
  std::string received_;
  bool patience_begun_ = false;
  bool answered_ = false;
};

class UnixVsockSocket final : public VsockSocket {
 public:
  UnixVsockSocket(boost::asio::io_context& loop, UniqueFd listening, std::filesystem::path path)
      : loop_(loop),
        path_(std::move(path)),
        listener_(std::make_shared<Listener>(loop, std::move(listening), path_.string())) {
    struct stat found {};
    if (::lstat(path_.c_str(), &found) == 0) inode_ = found.st_ino;
  }

  ~UnixVsockSocket() override {
    listener_->close();
    struct stat found {};
    // Not the socket of a later run.
    if (::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) ::unlink(path_.c_str());
  }

  void start(GuestConnector connect) override {
    const auto door = std::make_shared<Door>();
    listener_->start(
        [&loop = loop_, door, connect = std::move(connect)](UniqueFd client, std::function<void()> gone) {
          if (!peer_is_us(client.get())) {
            log::warn("vsock.sock: a client of another user was refused");
            client.reset();
            return gone();
          }
          std::make_shared<Handshake>(loop, door, connect, std::move(gone))->start(std::move(client));
        },
        [door] { return door->handshakes * descriptors_per_client; });
  }

 private:
  boost::asio::io_context& loop_;
  std::filesystem::path path_;
  ino_t inode_ = 0;
  std::shared_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<VsockSocket>> VsockSocket::bind(boost::asio::io_context& loop,
                                                       const std::filesystem::path& path) {
  MVM_TRY(UniqueFd socket, listen_local(path));
  return std::make_unique<UnixVsockSocket>(loop, std::move(socket), path);
}

}  // namespace mvm::host
