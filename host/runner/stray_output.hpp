// SPDX-License-Identifier: Apache-2.0
// What a plugin, or a library of its, prints to a detached runner's standard output and error: into the log, line by
// line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

class StrayOutput {
 public:
  // Redirects descriptors 1 and 2 of this process; 0 becomes /dev/null. On a crash the last words go to `log_file`.
  static Result<std::unique_ptr<StrayOutput>> capture(boost::asio::io_context& loop,
                                                      const std::filesystem::path& log_file);
  // While no loop runs: straight to the log file.
  static Result<void> send_to(const std::filesystem::path& log_file);
  void drain_now();

 private:
  explicit StrayOutput(boost::asio::io_context& loop, UniqueFd from, UniqueFd log_file);
  void wait();
  bool read_some();

  boost::asio::posix::stream_descriptor from_;
  UniqueFd log_file_;
  std::string line_;
};

}  // namespace mvm::host
