// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace mvm::host {

// One line on standard error, drawn over itself; silent where that is no terminal.
class ProgressBar {
 public:
  ProgressBar(std::string what, bool silent);
  void show(uint64_t done_bytes, uint64_t total_bytes);
  void finish();  // clears the line

 private:
  std::string what_;
  bool silent_;
  bool drawn_ = false;
};

}  // namespace mvm::host
