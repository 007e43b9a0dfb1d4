// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.hpp"

#include <atomic>

#include <fcntl.h>

#include "mvm/hypervisor.hpp"

namespace mvm::host {
namespace {

// The highest descriptor seen until now, fd included. New ones are the lowest that are free: below it there may be many
// holes or none.
rlim_t highest_seen(int fd) {
  static std::atomic<int> highest{0};
  int seen = highest.load(std::memory_order_relaxed);
  while (fd > seen && !highest.compare_exchange_weak(seen, fd, std::memory_order_relaxed)) {
  }
  return static_cast<rlim_t>(std::max(fd, seen));
}

// From the top, where free ones are found at once unless they are few.
bool are_free(rlim_t limit, rlim_t wanted) {
  for (rlim_t fd = limit; fd > 0 && wanted > 0;) {
    if (::fcntl(static_cast<int>(--fd), F_GETFD) < 0) --wanted;
  }
  return wanted == 0;
}

}  // namespace

bool leaves_descriptors(int fd, size_t needed, KeptDescriptors kept) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  const rlim_t wanted = needed + kept.of(limit.rlim_cur);
  if (wanted >= limit.rlim_cur) return false;
  // Nothing came near the limit yet: all above is free. What others opened was not seen, but would have taken this one.
  const bool far_away =
      highest_seen(fd) + wanted < limit.rlim_cur && ::fcntl(static_cast<int>(limit.rlim_cur - wanted), F_GETFD) < 0;
  return far_away || are_free(limit.rlim_cur, wanted);
}

bool leaves_descriptors_beside(int any_fd, size_t needed, KeptDescriptors kept) {
  const UniqueFd lowest(::fcntl(any_fd, F_DUPFD_CLOEXEC, 0));
  return lowest && leaves_descriptors(lowest.get(), needed, kept);
}

}  // namespace mvm::host
