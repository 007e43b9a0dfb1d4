// SPDX-License-Identifier: Apache-2.0
#include "forward/splice_pipe.hpp"

#include <utility>

namespace mvm::host {
namespace {

constexpr size_t most_free = 8;
constexpr std::chrono::milliseconds retry_time{100};

}  // namespace

std::unique_ptr<SplicePipe> SplicePipes::take() {
  if (!free_.empty()) {
    auto pipe = std::move(free_.back());
    free_.pop_back();
    return pipe;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now < not_before_) return nullptr;
  auto pipe = SplicePipe::open();
  if (!pipe) not_before_ = now + retry_time;
  return pipe;
}

void SplicePipes::give_back(std::unique_ptr<SplicePipe> pipe) {
  if (pipe && pipe->held_bytes() == 0 && free_.size() < most_free) free_.push_back(std::move(pipe));
}

}  // namespace mvm::host
