// SPDX-License-Identifier: Apache-2.0
#include "control/control_server.hpp"

#include <chrono>

#include <boost/asio/steady_timer.hpp>

#include "base/file.hpp"
#include "base/local_socket.hpp"
#include "base/log.hpp"

namespace mvm::host {

Result<std::unique_ptr<ControlServer>> ControlServer::start(boost::asio::io_context& loop,
                                                            const std::filesystem::path& path, Handler handler) {
  MVM_TRY(UniqueFd fd, listen_local(path));
  std::unique_ptr<ControlServer> server(new ControlServer(loop, path, std::move(handler)));
  server->acceptor_.assign(boost::asio::local::stream_protocol(), fd.release());
  server->acceptor_.non_blocking(true);
  server->accept();
  return server;
}

ControlServer::ControlServer(boost::asio::io_context& loop, std::filesystem::path path, Handler handler)
    : loop_(loop), path_(std::move(path)), handler_(std::make_shared<Handler>(std::move(handler))), acceptor_(loop) {}

ControlServer::~ControlServer() {
  // Requests of connections that are still open meet no handler any more.
  *handler_ = nullptr;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void ControlServer::accept() {
  acceptor_.async_accept(
      [this](const boost::system::error_code& error, boost::asio::local::stream_protocol::socket socket) {
        if (error == boost::asio::error::operation_aborted) return;
        if (!error) {
          serve(UniqueFd(socket.release()));
          return accept();
        }
        // No descriptors or memory: try again when some may have come free, and don't spin meanwhile.
        if (exhaustion_pace_.pass()) {
          log::warn("control socket: cannot accept: {}; commands wait until there is room (see ulimit -n)",
                    error.message());
        }
        auto timer = std::make_shared<boost::asio::steady_timer>(loop_, std::chrono::milliseconds(100));
        timer->async_wait([this, timer, handler = std::weak_ptr<Handler>(handler_)](const boost::system::error_code&) {
          if (!handler.expired()) accept();
        });
      });
}

void ControlServer::serve(UniqueFd fd) {
  if (!peer_is_us(fd.get())) {
    log::warn("control socket: refused a peer of another user");
    return;
  }
  const auto on_message = [handler = handler_](Channel& channel, std::string_view bytes) {
    pb::ControlRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return channel.close();
    if (!*handler) return channel.close();
    auto reply = [weak = channel.weak_from_this(), id = request.id()](pb::ControlReply answer, UniqueFd with) {
      const auto open = weak.lock();
      if (!open) return;
      answer.set_id(id);
      answer.set_with_fd(static_cast<bool>(with));
      open->send(answer.SerializeAsString(), std::move(with));
    };
    (*handler)(request, std::move(reply));
  };
  Channel::open(loop_, std::move(fd), on_message, [](Channel&) {});
}

}  // namespace mvm::host
