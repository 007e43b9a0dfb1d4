// SPDX-License-Identifier: Apache-2.0
// The one thread on which everything of an instance happens.
#pragma once

#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "mvm/plugin.hpp"

namespace mvm::mock {

class EventLoop {
 public:
  explicit EventLoop(Host host);
  ~EventLoop();  // as finish

  boost::asio::io_context& context() noexcept { return context_; }

  template <class Fn>
  void post(Fn&& fn) {
    boost::asio::post(context_, std::forward<Fn>(fn));
  }

  // Returns when nothing is left to do and the thread has ended. Not from the loop's own thread.
  void finish() noexcept;

 private:
  void run() noexcept;

  Host host_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  std::thread thread_;
};

}  // namespace mvm::mock
