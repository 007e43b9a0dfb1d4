// SPDX-License-Identifier: Apache-2.0
// The guest's connections to the host: which ports have a listener, and the wait for its word.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

namespace mvm::vz_double {

class Arrivals : public std::enable_shared_from_this<Arrivals> {
 public:
  using Answer = std::function<void(bool taken)>;

  // The VM's queue.
  void listen(uint32_t port);
  void ignore(uint32_t port);
  void close();  // whoever waits for an answer gets "no"

  // The machine's thread. ask passes the question on to the queue; its answer may come on any thread, once. Nobody
  // listens there: ask is not called.
  bool offer(uint32_t port, const std::function<void(Answer answer)>& ask);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<uint32_t> ports_;
  bool closed_ = false;
};

}  // namespace mvm::vz_double
