// SPDX-License-Identifier: Apache-2.0
// What clients can bring about as often as they like is not logged as often.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace mvm::host {

class LogPace {
 public:
  using Clock = std::chrono::steady_clock;

  // At most one line in that time.
  explicit LogPace(Clock::duration least) : least_(least) {}

  // To be said now, and how many before it were not; nothing: not to be said.
  std::optional<uint64_t> pass(Clock::time_point now = Clock::now()) {
    if (said_ && now - *said_ < least_) {
      ++unsaid_;
      return std::nullopt;
    }
    said_ = now;
    return std::exchange(unsaid_, 0);
  }

 private:
  Clock::duration least_;
  std::optional<Clock::time_point> said_;
  uint64_t unsaid_ = 0;
};

}  // namespace mvm::host
