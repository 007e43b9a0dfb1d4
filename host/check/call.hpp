// SPDX-License-Identifier: Apache-2.0
// Waits for the answer to one slow verb.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "mvm/hypervisor.hpp"

namespace mvm::host::check {

struct Outcome {
  mvm_status status = MVM_ERR_INTERNAL;
  std::string reply;
  std::string error;
  UniqueFd fd;
};

class Call {
 public:
  Completion completion() const;
  FdCompletion fd_completion() const;

  // Throws std::runtime_error, which fails the test, when no answer came in time. Once.
  Outcome wait() const;
  bool answered() const;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable came;
    std::optional<Outcome> outcome;
    void put(Outcome o);
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace mvm::host::check
