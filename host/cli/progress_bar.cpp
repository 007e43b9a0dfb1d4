// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.hpp"

#include <algorithm>
#include <iostream>

#include <unistd.h>
#include "base/format.hpp"

#include "base/parse.hpp"

namespace mvm::host {

ProgressBar::ProgressBar(std::string what, bool silent)
    : what_(std::move(what)), silent_(silent || ::isatty(STDERR_FILENO) == 0) {}

void ProgressBar::show(uint64_t done_bytes, uint64_t total_bytes) {
  if (silent_ || total_bytes == 0) return;
  constexpr uint64_t width = 30;
  const uint64_t filled = std::min(width, done_bytes * width / total_bytes);
  std::cerr << formatted("\r\033[K{} [{}{}] {:3}% of {}", what_, std::string(filled, '#'),
                         std::string(width - filled, ' '), std::min<uint64_t>(100, done_bytes * 100 / total_bytes),
                         format_size(total_bytes))
            << std::flush;
  drawn_ = true;
}

void ProgressBar::finish() {
  if (drawn_) std::cerr << "\r\033[K" << std::flush;
  drawn_ = false;
}

}  // namespace mvm::host
