// SPDX-License-Identifier: Apache-2.0
#include "check/call.hpp"

#include <stdexcept>
#include <utility>

#include "check/subject.hpp"

namespace mvm::host::check {

void Call::State::put(Outcome o) {
  const std::lock_guard lock(mutex);
  outcome = std::move(o);
  came.notify_all();
}

Completion Call::completion() const {
  return Completion([state = state_](mvm_status status, Bytes reply, Bytes error) {
    state->put({status, std::string(reply), std::string(error), {}});
  });
}

FdCompletion Call::fd_completion() const {
  return FdCompletion([state = state_](mvm_status status, UniqueFd fd, Bytes error) {
    state->put({status, {}, std::string(error), std::move(fd)});
  });
}

Outcome Call::wait() const {
  std::unique_lock lock(state_->mutex);
  if (!state_->came.wait_for(lock, subject().deadline, [this] { return state_->outcome.has_value(); })) {
    throw std::runtime_error("no answer within the deadline");
  }
  return std::move(*state_->outcome);
}

bool Call::answered() const {
  const std::lock_guard lock(state_->mutex);
  return state_->outcome.has_value();
}

}  // namespace mvm::host::check
