// SPDX-License-Identifier: Apache-2.0
// A vhost-user connection between QEMU and a daemon that neither of them makes: both get their end from us.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

struct VhostUserSockets {
  UniqueFd listening;  // for the daemon, which insists on accepting
  UniqueFd front_end;  // connected to it already; for QEMU
};

// Nobody else can connect: the socket's name in directory, which is this user's alone, is gone on return. How long the
// directory's path is does not matter. Throws mvm::Error.
VhostUserSockets make_vhost_user_sockets(const std::string& directory);

// Asks the back end for its features, as any front end may at any time, to see that it is there and has its sandbox:
// QEMU would only find out in the middle of adding a device. On the loop's thread; destroying it ends it.
class VhostUserGreeting {
 public:
  // answered gets the front end back once the back end has answered. It is not called when the back end goes away, or
  // answers something else.
  VhostUserGreeting(boost::asio::io_context& loop, UniqueFd front_end, std::function<void(UniqueFd)> answered);

 private:
  static constexpr size_t answer_bytes = 20;  // a header, and the features

  void wait();
  void receive();
  bool is_answer() const noexcept;

  boost::asio::posix::stream_descriptor front_end_;
  std::function<void(UniqueFd)> answered_;
  std::array<unsigned char, answer_bytes> answer_{};
  size_t received_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  // for a handler that was on its way when this was destroyed
};

}  // namespace mvm::qemu
