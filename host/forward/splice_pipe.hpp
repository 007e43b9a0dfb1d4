// SPDX-License-Identifier: Apache-2.0
// A pipe through which the kernel moves bytes from one socket to another without copying them (splice(2)).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "mvm/hypervisor.hpp"

namespace mvm::host {

class SplicePipe {
 public:
  // null: this system has no splice, or none but the last descriptors are left (base/descriptors.hpp); copy instead.
  static std::unique_ptr<SplicePipe> open();

  // As recv: bytes that went from the socket into the pipe; 0: its end; -1 and errno. EINVAL: not a socket that can.
  ssize_t fill(int from);
  // As send: bytes that went from the pipe into the socket; -1 and errno. EINVAL: as above; read_out has them.
  ssize_t drain(int to);
  // All that it holds, copied out of it: for a socket that takes no splice.
  std::string read_out();
  size_t held_bytes() const noexcept { return held_bytes_; }

 private:
  SplicePipe(UniqueFd out, UniqueFd in) : out_(std::move(out)), in_(std::move(in)) {}

  UniqueFd out_;
  UniqueFd in_;
  size_t held_bytes_ = 0;
};

// Empty pipes for the next who needs one: a relay has one only while bytes flow. Where none can be opened, none is
// tried for 100 ms. One thread.
class SplicePipes {
 public:
  std::unique_ptr<SplicePipe> take();
  // One that still holds bytes is closed: they are nobody else's.
  void give_back(std::unique_ptr<SplicePipe> pipe);

 private:
  std::vector<std::unique_ptr<SplicePipe>> free_;
  std::chrono::steady_clock::time_point not_before_;
};

}  // namespace mvm::host
