// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include "mvm/client.h"

namespace mvm::client {

using Clock = std::chrono::steady_clock;

// What a call of the library's ends with; caught where C calls in.
class Failure : public std::runtime_error {
 public:
  Failure(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

}  // namespace mvm::client
