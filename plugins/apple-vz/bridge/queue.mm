// SPDX-License-Identifier: Apache-2.0
#import <Foundation/Foundation.h>
#import <dispatch/dispatch.h>

#include <utility>

#include "objc.hpp"
#include "queue_impl.hpp"

namespace mvm::apple_vz {
namespace {

// Timers of the same moment wake the processor once.
constexpr int64_t leeway_ns = 1'000'000;

}  // namespace

void Queue::Impl::run(const Fn &fn) const {
  if (const Problem problem = attempt(fn)) on_problem(problem->domain + ": " + problem->description);
}

Queue::Queue(const std::string &label, OnProblem on_problem)
    : impl_(std::make_shared<Impl>(
          Impl{dispatch_queue_create(label.c_str(), DISPATCH_QUEUE_SERIAL), std::move(on_problem)})) {}

void Queue::post(Fn fn) const {
  const auto impl = impl_;
  const auto work = std::make_shared<Fn>(std::move(fn));
  dispatch_async(impl->queue, ^{
    impl->run(*work);
    *work = nullptr;
  });
}

struct Queue::Timer::Impl {
  dispatch_source_t source;
};

// The handler, and what it holds, goes with the cancellation.
void Queue::Timer::Cancel::operator()(Impl *impl) const noexcept {
  dispatch_source_cancel(impl->source);
  delete impl;
}

void Queue::Timer::cancel() noexcept { impl_.reset(); }

Queue::Timer Queue::after(std::chrono::milliseconds delay, Fn fn) const {
  const auto impl = impl_;
  const auto work = std::make_shared<Fn>(std::move(fn));
  dispatch_source_t source = dispatch_source_create(DISPATCH_SOURCE_TYPE_TIMER, 0, 0, impl->queue);
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(delay).count();
  dispatch_source_set_timer(source, dispatch_time(DISPATCH_TIME_NOW, ns), DISPATCH_TIME_FOREVER, leeway_ns);
  dispatch_source_set_event_handler(source, ^{
    // What runs may cancel the timer; the handler stays until it has returned.
    impl->run(std::exchange(*work, nullptr));
  });
  dispatch_resume(source);
  Timer timer;
  timer.impl_.reset(new Timer::Impl{source});
  return timer;
}

}  // namespace mvm::apple_vz
