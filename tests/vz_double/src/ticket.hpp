// SPDX-License-Identifier: Apache-2.0
// A completion handler on its way through another thread.
#pragma once
#import <dispatch/dispatch.h>

#include <memory>
#include <utility>

namespace mvm::vz_double {

// The handler is called, and what it holds dies, on the queue: wherever the last copy of the ticket goes.
template <class Handler>
class Ticket {
 public:
  Ticket(dispatch_queue_t queue, Handler handler) : state_(std::make_shared<State>()) {
    state_->queue = queue;
    state_->handler = [handler copy];
  }

  // call: takes the handler, once.
  template <class Call>
  void use(Call call) const {
    const std::shared_ptr<State> state = state_;
    dispatch_async(state->queue, ^{
      call(std::exchange(state->handler, nil));
    });
  }

 private:
  struct State {
    dispatch_queue_t queue;
    Handler handler;
  };
  std::shared_ptr<State> state_;
};

}  // namespace mvm::vz_double
