// SPDX-License-Identifier: Apache-2.0
// What is to happen later, on the engine's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace mvm::qemu {

using TimePoint = std::chrono::steady_clock::time_point;

// Outlives its timers.
class Timers {
  using Key = std::pair<TimePoint, uint64_t>;

 public:
  // Its function runs unless it is cancelled, or gone, before.
  class Timer {
   public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { cancel(); }

    void set(Timers& timers, TimePoint when, std::function<void()> fn) {
      cancel();
      timers_ = &timers;
      key_ = {when, timers.next_++};
      timers.due_.emplace(key_, std::move(fn));
    }
    void cancel() noexcept {
      if (timers_ != nullptr) timers_->due_.erase(key_);
      timers_ = nullptr;
    }

   private:
    Timers* timers_ = nullptr;
    Key key_;
  };

  // When the next is due, if any is.
  std::optional<TimePoint> next() const {
    if (due_.empty()) return {};
    return due_.begin()->first.first;
  }

  void run_due(TimePoint now) {
    while (!due_.empty() && due_.begin()->first.first <= now) {
      const std::function<void()> fn = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      fn();
    }
  }

 private:
  std::map<Key, std::function<void()>> due_;
  uint64_t next_ = 0;
};

}  // namespace mvm::qemu
