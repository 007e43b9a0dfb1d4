// SPDX-License-Identifier: Apache-2.0
// A log that the guest can't fill: a few lines at once, then one a second, which says how many were left out.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "vsock/timers.hpp"

namespace mvm::qemu {

class GuestLog {
 public:
  using Fn = std::function<void(int32_t level, std::string_view message)>;

  explicit GuestLog(Fn fn) : fn_(std::move(fn)) {}

  // For what happens once, and not at the guest's will.
  void log(int32_t level, std::string_view message) const {
    if (fn_) fn_(level, message);
  }

  void log_limited(TimePoint now, int32_t level, std::string_view message) {
    if (!take_token(now)) {
      ++left_out_;
      return;
    }
    if (left_out_ == 0) return log(level, message);
    log(level, std::string(message) + " (" + std::to_string(left_out_) + " lines left out before)");
    left_out_ = 0;
  }

 private:
  static constexpr std::chrono::seconds refill{1};
  static constexpr int64_t burst = 8;

  bool take_token(TimePoint now) {
    const int64_t earned = std::min<int64_t>((now - refilled_) / refill, burst);
    if (earned > 0) {
      tokens_ = std::min(tokens_ + earned, burst);
      refilled_ = now;
    }
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
  }

  Fn fn_;
  int64_t tokens_ = burst;
  TimePoint refilled_;
  uint64_t left_out_ = 0;
};

}  // namespace mvm::qemu
