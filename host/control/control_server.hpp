// SPDX-License-Identifier: Apache-2.0
// The runner's end of the control socket.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "base/log_pace.hpp"
#include "base/result.hpp"
#include "control/channel.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

class ControlServer {
 public:
  // Answers one request. Call it once; the fd goes with the reply. On the loop.
  using Reply = std::function<void(pb::ControlReply, UniqueFd)>;
  using Handler = std::function<void(const pb::ControlRequest&, Reply)>;

  // Binds `path` (0600; a socket left there by a dead runner is replaced) and serves. Peers of another user, but root,
  // are refused. The file is removed with the server. Errors (failed) name the path.
  static Result<std::unique_ptr<ControlServer>> start(boost::asio::io_context& loop, const std::filesystem::path& path,
                                                      Handler handler);
  ~ControlServer();

 private:
  ControlServer(boost::asio::io_context& loop, std::filesystem::path path, Handler handler);
  void accept();
  void serve(UniqueFd fd);

  boost::asio::io_context& loop_;
  std::filesystem::path path_;
  std::shared_ptr<Handler> handler_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  LogPace exhaustion_pace_{std::chrono::seconds(10)};
};

}  // namespace mvm::host
