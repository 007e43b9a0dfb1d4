// SPDX-License-Identifier: Apache-2.0
#include "runner/plugin_caller.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace mvm::host {
namespace {

std::string keep(Bytes reply) { return std::string(reply); }
UniqueFd keep(UniqueFd fd) { return fd; }

}  // namespace

PluginCaller::PluginCaller(boost::asio::io_context& loop, std::unique_ptr<PluginHypervisor> plugin)
    : loop_(loop),
      identity_(plugin->identity()),
      plugin_(std::make_shared<std::unique_ptr<PluginHypervisor>>(std::move(plugin))),
      thread_(std::make_unique<boost::asio::thread_pool>(1)) {}

// A thread_pool joins its threads when it goes: one that is stuck in a plugin never would.
PluginCaller::~PluginCaller() { (void)thread_.release(); }

template <class Reply, class Kept>
void PluginCaller::call_with(std::string what, Millis limit,
                             std::function<void(PluginHypervisor&, BasicCompletion<Reply>)> start,
                             std::function<void(Result<Kept>)> done) {
  auto timer = std::make_shared<boost::asio::steady_timer>(loop_, limit);
  const BasicCompletion<Reply> completion(
      [this, timer, what, done = std::move(done)](mvm_status status, Reply reply, Bytes error) {
        Result<Kept> result;
        if (status == MVM_OK) {
          result = keep(std::move(reply));
        } else {
          result = tl::unexpected(plugin_error(identity_, what, status, error));
        }
        boost::asio::post(loop_, [timer, done, result = std::make_shared<Result<Kept>>(std::move(result))] {
          timer->cancel();
          done(std::move(*result));
        });
      });
  timer->async_wait([completion, limit](const boost::system::error_code& error) {
    if (!error) {
      completion.fail(MVM_ERR_DEADLINE, formatted("did not complete within {} ms (MVM-P4)", limit.count()));
    }
  });
  boost::asio::post(*thread_, [plugin = plugin_, completion, start = std::move(start)] {
    if (*plugin == nullptr) return completion.fail(MVM_ERR_CANCELLED, "the VM is gone");
    try {
      start(**plugin, completion);
    } catch (...) {
      completion.fail_with_current_exception();
    }
  });
}

void PluginCaller::call(std::string what, Millis limit, std::function<void(PluginHypervisor&, Completion)> start,
                        std::function<void(Result<std::string>)> done) {
  call_with<Bytes, std::string>(std::move(what), limit, std::move(start), std::move(done));
}

void PluginCaller::call_fd(std::string what, Millis limit, std::function<void(PluginHypervisor&, FdCompletion)> start,
                           std::function<void(Result<UniqueFd>)> done) {
  call_with<UniqueFd, UniqueFd>(std::move(what), limit, std::move(start), std::move(done));
}

void PluginCaller::call_plain(std::string what, Millis limit, std::function<std::string(PluginHypervisor&)> start,
                              std::function<void(Result<std::string>)> done) {
  call(
      std::move(what), limit,
      [start = std::move(start)](PluginHypervisor& plugin, const Completion& completion) {
        completion.succeed(start(plugin));
      },
      std::move(done));
}

void PluginCaller::destroy(Millis limit, std::function<void(bool)> done) {
  call(
      "destroy", limit,
      [plugin = plugin_](PluginHypervisor&, const Completion& completion) {
        plugin->reset();
        completion.succeed();
      },
      [done = std::move(done)](const Result<std::string>& result) { done(result.has_value()); });
}

void PluginCaller::run_aside(std::function<void()> work, std::function<void()> done) {
  boost::asio::post(*thread_, [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    boost::asio::post(loop_, std::move(done));
  });
}

}  // namespace mvm::host
