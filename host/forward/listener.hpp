// SPDX-License-Identifier: Apache-2.0
// Takes clients off a listening socket.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/log_pace.hpp"
#include "forward/sockets.hpp"

namespace mvm::host {

inline constexpr size_t default_max_clients = 10'000;
// What reaching the guest may take: a pair of sockets, and one or two of the hypervisor's.
inline constexpr size_t descriptors_per_client = 4;

// Owned by whoever closes it and by its own handlers. At `max_clients` live ones it takes no more until one goes; for
// want of descriptors or memory it waits for 100 ms; neither spins, both are logged once for each time they last, but
// not more than once in 10 s, and clients meanwhile queue in the kernel. The last descriptors are kept from clients
// (base/descriptors.hpp). Event loop: one thread, this one.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // gone: to be called once, when the client is closed.
  using OnClient = std::function<void(UniqueFd client, std::function<void()> gone)>;

  // label: how the log calls it. listening: bound, listening and non-blocking.
  Listener(boost::asio::io_context& loop, UniqueFd listening, std::string label,
           size_t max_clients = default_max_clients);

  // still_needed: descriptors that the clients taken so far are yet to open. One more is taken only when there is room
  // for these and its own, or a burst of clients would leave none to reach the guest with.
  void start(OnClient on_client, std::function<size_t()> still_needed = nullptr);
  void close();

 private:
  void wait();
  void accept_some();
  UniqueFd next_client();
  size_t needed_with_next() const;
  void serve(UniqueFd client);
  void accept_failed(int error);
  void accepts_again();
  void back_off(int error);
  void pause();
  void client_gone();

  LoopFd socket_;
  LoopTimer timer_;
  std::string label_;
  size_t max_clients_;
  size_t clients_ = 0;
  LogPace limit_pace_{std::chrono::seconds(10)};
  LogPace exhaustion_pace_{std::chrono::seconds(10)};
  bool paused_ = false;     // at max_clients_
  bool exhausted_ = false;  // no descriptors, no memory
  bool said_exhausted_ = false;
  bool closed_ = false;
  OnClient on_client_;
  std::function<size_t()> still_needed_;
  UniqueFd held_;  // taken, and no room for what it needs
};

}  // namespace mvm::host
