// SPDX-License-Identifier: Apache-2.0
#include "forward/splice_pipe.hpp"

#if defined(__APPLE__)

#include <cerrno>
#include <string>

namespace mvm::host {

std::unique_ptr<SplicePipe> SplicePipe::open() { return nullptr; }

ssize_t SplicePipe::fill(int) {
  errno = EINVAL;
  return -1;
}

ssize_t SplicePipe::drain(int) {
  errno = EINVAL;
  return -1;
}

std::string SplicePipe::read_out() { return {}; }

}  // namespace mvm::host

#endif
