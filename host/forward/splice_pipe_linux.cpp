// SPDX-License-Identifier: Apache-2.0
#include "forward/splice_pipe.hpp"

#if defined(__linux__)

#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "base/descriptors.hpp"

namespace mvm::host {
namespace {

// Also the most that a relay keeps for a peer that does not read. The kernel may grant a user less.
constexpr int pipe_bytes = 256 * 1024;

}  // namespace

std::unique_ptr<SplicePipe> SplicePipe::open() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  std::unique_ptr<SplicePipe> pipe(new SplicePipe(UniqueFd(ends[0]), UniqueFd(ends[1])));
  if (!leaves_descriptors(ends[1], 0, kept_from_clients)) return nullptr;
  ::fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes);
  return pipe;
}

ssize_t SplicePipe::fill(int from) {
  const ssize_t got = ::splice(from, nullptr, in_.get(), nullptr, pipe_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got > 0) held_bytes_ += static_cast<size_t>(got);
  return got;
}

ssize_t SplicePipe::drain(int to) {
  const ssize_t sent = ::splice(out_.get(), nullptr, to, nullptr, held_bytes_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (sent > 0) held_bytes_ -= static_cast<size_t>(sent);
  return sent;
}

std::string SplicePipe::read_out() {
  std::string bytes(held_bytes_, '\0');
  size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::read(out_.get(), bytes.data() + got, bytes.size() - got);
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  held_bytes_ = 0;
  bytes.resize(got);
  return bytes;
}

}  // namespace mvm::host

#endif
