// SPDX-License-Identifier: Apache-2.0
// The runner's end of what boot_detached opens.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "control/channel.hpp"
#include "runner/boot_reporter.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

class LaunchedReporter final : public BootReporter {
 public:
  // Reads the request from the launcher's socket: the one at `launched_at`, or launch_fd where that is empty. Blocks
  // until it is there. Error (invalid): nobody launched us.
  static Result<std::unique_ptr<LaunchedReporter>> receive(boost::asio::io_context& loop,
                                                           const std::filesystem::path& launched_at,
                                                           pb::BootRequest& request);

  // Called when the launcher goes away before the boot's end.
  void on_abandoned(std::function<void()> give_up) { give_up_ = std::move(give_up); }

  void copying(uint64_t done_bytes, uint64_t total_bytes) override;
  void running() override;
  void failed(const Error& error) override;
  int caller() const override { return caller_; }

 private:
  void send_last(const pb::BootReport& report);
  int caller_ = -1;
  std::shared_ptr<Channel> channel_;
  std::function<void()> give_up_;
};

}  // namespace mvm::host
