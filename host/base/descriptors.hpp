// SPDX-License-Identifier: Apache-2.0
// Who may have the process's last descriptors.
#pragma once

#include <algorithm>
#include <cstddef>

#include <sys/resource.h>

namespace mvm::host {

// So many of RLIMIT_NOFILE, or that part of it if it is less.
struct KeptDescriptors {
  rlim_t most;
  rlim_t part;

  rlim_t of(rlim_t limit) const { return std::min(most, limit / part); }
};

// Those who want to reach or stop a VM come before the connections that run, the host's before the guest's: each kind
// leaves the ones after it enough.
inline constexpr KeptDescriptors kept_from_guests{256, 4};
inline constexpr KeptDescriptors kept_from_clients{64, 8};       // of published ports and vsock.sock, and their pipes
inline constexpr KeptDescriptors kept_from_handed_over{32, 16};  // over the control socket

// Whether `needed` more would leave those that are kept. fd: a descriptor made just now. Any thread. Two system calls
// until the process has come near its limit once; from then on one for each descriptor wanted, and where there are too
// few, for each that is open.
bool leaves_descriptors(int fd, size_t needed, KeptDescriptors kept);

// The same, with a copy of any descriptor as the one made just now. False also where none can be made.
bool leaves_descriptors_beside(int any_fd, size_t needed, KeptDescriptors kept);

}  // namespace mvm::host
