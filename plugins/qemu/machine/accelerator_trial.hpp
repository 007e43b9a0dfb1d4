// SPDX-License-Identifier: Apache-2.0
// Whether KVM runs a kernel. That /dev/kvm opens says little: there are hosts, virtual themselves, where it does and
// every stock kernel hangs. So the kernel is booted once, with nothing to boot from: one that works panics for want of
// a root within a second or two, and says so.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "command_line.hpp"
#include "process/child_process.hpp"

namespace mvm::qemu {

struct TrialResult {
  bool works = false;
  std::string reason;  // why not
};

class AcceleratorTrial final : public std::enable_shared_from_this<AcceleratorTrial> {
 public:
  static constexpr std::chrono::milliseconds usual_limit{5000};

  // done is called once, from the loop, unless cancel() comes first. Throws mvm::Error when QEMU cannot be started.
  static std::shared_ptr<AcceleratorTrial> start(boost::asio::io_context& loop, const LaunchFacts& facts,
                                                 const std::string& kernel, std::chrono::milliseconds limit,
                                                 std::function<void(const TrialResult&)> done);
  void cancel() noexcept;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;

  explicit AcceleratorTrial(boost::asio::io_context& loop) : console_(loop), deadline_(loop) {}
  void watch_console();
  void read_console();
  void finish(const TrialResult& result);

  Socket console_;
  boost::asio::steady_timer deadline_;
  std::unique_ptr<ChildProcess> child_;
  std::function<void(const TrialResult&)> done_;
  std::string said_;  // the end of what the console said
};

}  // namespace mvm::qemu
