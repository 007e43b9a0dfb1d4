// SPDX-License-Identifier: Apache-2.0
#include "alive.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "../include/vz_double.h"

namespace mvm::vz_double {
namespace {

class Census {
 public:
  void add(const char* class_name, int change) {
    const std::lock_guard lock(mutex_);
    count_[class_name] += static_cast<size_t>(change);
  }

  size_t of(const char* class_name) {
    const std::lock_guard lock(mutex_);
    if (class_name != nullptr) {
      const auto found = count_.find(class_name);
      return found == count_.end() ? 0 : found->second;
    }
    size_t all = 0;
    for (const auto& [name, n] : count_) all += n;
    return all;
  }

  std::string describe() {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& [name, n] : count_) {
      if (n > 0) text += name + " " + std::to_string(n) + "\n";
    }
    return text;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, size_t, std::less<>> count_;
};

// Never destroyed: objects may die after the statics do.
Census& census() {
  static auto* one = new Census;
  return *one;
}

}  // namespace

void Alive::begin(const char* class_name) {
  class_name_ = class_name;
  census().add(class_name, 1);
}

Alive::~Alive() {
  if (class_name_ != nullptr) census().add(class_name_, -1);
}

}  // namespace mvm::vz_double

using mvm::vz_double::census;

size_t vz_double_live_objects(const char* class_name) { return census().of(class_name); }

size_t vz_double_describe_live_objects(char* buffer, size_t size) {
  const std::string text = census().describe();
  if (size > 0) std::snprintf(buffer, size, "%s", text.c_str());
  return text.size();
}

int vz_double_wait_until_quiet(uint32_t timeout_ms) {
  // Threads end and pools drain without telling anybody, so this looks again and again.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (vz_double_live_objects(nullptr) != 0 || vz_double_live_queues() != 0) {
    if (std::chrono::steady_clock::now() > deadline) return 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return 1;
}
