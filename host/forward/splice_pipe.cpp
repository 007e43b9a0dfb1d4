// SPDX-License-Identifier: Apache-2.0
#include "forward/splice_pipe.hpp"

#include <utility>

namespace mvm::host {
namespace {

constexpr size_t most_free = 8;

}  // namespace

std::unique_ptr<SplicePipe> SplicePipes::take() {
  if (free_.empty()) return SplicePipe::open();
  auto pipe = std::move(free_.back());
  free_.pop_back();
  return pipe;
}

void SplicePipes::give_back(std::unique_ptr<SplicePipe> pipe) {
  if (pipe && pipe->held_bytes() == 0 && free_.size() < most_free) free_.push_back(std::move(pipe));
}

}  // namespace mvm::host
