// SPDX-License-Identifier: Apache-2.0
#include "vsock/dialer.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace mvm::qemu {
namespace {

std::string subject(uint32_t port) { return "vsock port " + std::to_string(port) + ": "; }

std::string span_of(std::chrono::milliseconds time) {
  if (time.count() % 1000 == 0) return std::to_string(time.count() / 1000) + " s";
  return std::to_string(time.count()) + " ms";
}

}  // namespace

void Dialer::dial(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done) {
  Dial& dial = dials_.emplace_back(port, timeout, std::move(done));
  dial.self = std::prev(dials_.end());
  const auto time = dial.once() ? limits_.answer_timeout : timeout;
  dial.deadline.set(timers_, line_.now() + time, [this, &dial] { expired(dial); });
  try_now(dial);
}

void Dialer::try_now(Dial& dial) {
  if (!line_.driver_up()) return without_driver(dial);
  try {
    dial.attempt = &line_.request(dial);
  } catch (const Error& e) {
    failed(dial, e);
  }
}

// A paused guest has not refused anything: its driver comes back.
void Dialer::without_driver(Dial& dial) {
  if (!dial.once() || line_.paused()) return;
  fail(dial, MVM_ERR_REFUSED, "the guest's vsock driver is not up; try again when the guest has booted");
}

// The completion, with the dial and what is still under way for it gone: it may bring the next one.
FdCompletion Dialer::take(Dial& dial) {
  if (dial.attempt != nullptr) line_.abandon(*dial.attempt);
  FdCompletion done = dial.done;
  dials_.erase(dial.self);
  return done;
}

void Dialer::fail(Dial& dial, mvm_status status, const std::string& why) {
  const std::string message = subject(dial.port) + why;
  take(dial).fail(status, message);
}

void Dialer::answered(Dial& dial, UniqueFd stream) {
  dial.attempt = nullptr;
  take(dial).succeed(std::move(stream));
}

void Dialer::failed(Dial& dial, const Error& error) {
  dial.attempt = nullptr;
  fail(dial, error.status(), error.what());
}

void Dialer::refused(Dial& dial) {
  dial.attempt = nullptr;
  dial.refused = true;
  // Linux answers the same for a listener whose queue is full.
  if (dial.once()) return fail(dial, MVM_ERR_REFUSED, "nobody in the guest listens on it, or its queue is full");
  dial.pause = std::clamp(2 * dial.pause, limits_.min_retry, limits_.max_retry);
  dial.retry.set(timers_, line_.now() + dial.pause, [this, &dial] { try_now(dial); });
}

void Dialer::lost(Dial& dial) {
  dial.attempt = nullptr;
  dial.pause = {};
  if (dial.once()) return fail(dial, MVM_ERR_REFUSED, "the guest was reset");
  if (line_.driver_up()) try_now(dial);
}

void Dialer::driver_came() {
  std::vector<Dial*> waiting;
  for (Dial& dial : dials_) {
    if (dial.attempt == nullptr) waiting.push_back(&dial);
  }
  for (Dial* dial : waiting) {
    dial->retry.cancel();
    try_now(*dial);
  }
}

void Dialer::expired(Dial& dial) {
  const std::string within = " within " + span_of(dial.once() ? limits_.answer_timeout : dial.timeout);
  if (!line_.driver_up()) {
    const std::string state =
        line_.paused() ? "the guest was paused, and did not go on" : "no vsock driver came up in the guest";
    return fail(dial, MVM_ERR_DEADLINE, state + within);
  }
  if (dial.refused) return fail(dial, MVM_ERR_DEADLINE, "nobody in the guest listened on it" + within);
  fail(dial, MVM_ERR_DEADLINE, "the guest did not answer" + within);
}

void Dialer::cancel_all(const std::string& why) {
  while (!dials_.empty()) fail(dials_.front(), MVM_ERR_CANCELLED, why);
}

}  // namespace mvm::qemu
