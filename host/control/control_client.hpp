// SPDX-License-Identifier: Apache-2.0
// A command's connection to a runner. Blocks, with deadlines.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"
#include "control/channel.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

class ControlClient {
 public:
  // Error (failed): nobody listens there.
  static Result<std::unique_ptr<ControlClient>> connect(const std::filesystem::path& path);

  struct Answer {
    pb::ControlReply reply;
    UniqueFd fd;
  };
  // Sends and waits for the reply. A Failure in it comes back as the error it describes. Errors: deadline; failed when
  // the runner went away.
  Result<Answer> call(pb::ControlRequest request, std::chrono::milliseconds deadline);

  // Waits until the runner closes the connection, which its end does too: by event. False: the deadline passed first.
  // No deadline: for as long as it takes.
  bool wait_closed(std::optional<std::chrono::milliseconds> deadline);

 private:
  ControlClient() = default;
  void run_until(const std::function<bool()>& done, std::optional<std::chrono::milliseconds> deadline);

  boost::asio::io_context loop_{1};
  std::shared_ptr<Channel> channel_;
  std::deque<Answer> answers_;
  bool closed_ = false;
  uint64_t last_id_ = 0;
};

}  // namespace mvm::host
