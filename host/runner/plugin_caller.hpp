// SPDX-License-Identifier: Apache-2.0
// Calls into the plugin, made on one thread of their own (so they never overlap, and one that blocks doesn't hold up
// the runner), each with a deadline, answered on the loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/result.hpp"
#include "plugin/plugin_hypervisor.hpp"

namespace mvm::host {

class PluginCaller {
 public:
  using Millis = std::chrono::milliseconds;

  PluginCaller(boost::asio::io_context& loop, std::unique_ptr<PluginHypervisor> plugin);
  // Leaves the plugin's thread to itself if it is stuck: only for a process that ends next.
  ~PluginCaller();

  // done: once, on the loop; an error of kind deadline names call and rule when no completion came within `limit`.
  void call(std::string what, Millis limit, std::function<void(PluginHypervisor&, Completion)> start,
            std::function<void(Result<std::string>)> done);
  void call_fd(std::string what, Millis limit, std::function<void(PluginHypervisor&, FdCompletion)> start,
               std::function<void(Result<UniqueFd>)> done);
  // For what answers at once; exceptions become errors.
  void call_plain(std::string what, Millis limit, std::function<std::string(PluginHypervisor&)> start,
                  std::function<void(Result<std::string>)> done);
  // Destroys the instance; done(false): it did not come back within `limit`.
  void destroy(Millis limit, std::function<void(bool)> done);

  // Runs `work` on the plugin's thread, between calls; done on the loop.
  void run_aside(std::function<void()> work, std::function<void()> done);

  const PluginIdentity& identity() const noexcept { return identity_; }

 private:
  template <class Reply, class Kept>
  void call_with(std::string what, Millis limit, std::function<void(PluginHypervisor&, BasicCompletion<Reply>)> start,
                 std::function<void(Result<Kept>)> done);

  boost::asio::io_context& loop_;
  PluginIdentity identity_;
  // Used on thread_ alone, but for its construction.
  std::shared_ptr<std::unique_ptr<PluginHypervisor>> plugin_;
  std::unique_ptr<boost::asio::thread_pool> thread_;
};

}  // namespace mvm::host
