// SPDX-License-Identifier: Apache-2.0
// A VM's lock: held by flock(2) for its runner's whole life. Liveness is this lock, never a pid.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"
#include "store/vm_name.hpp"
#include "store/vm_paths.hpp"

namespace mvm::host {

class VmLock {
 public:
  // Makes the VM's directory and lock file where they are missing, and takes the lock. Somebody who only looks
  // (is_held) has it for an instant, so this waits up to `patience` for it; by event, through SIGALRM: only for a
  // process that has no other threads yet, and sets that signal's handler. The error (failed) has no name of the
  // holder.
  static Result<VmLock> acquire(const VmPaths& paths, std::chrono::milliseconds patience);

  // Whether a runner holds it. Doesn't change anything; false where there is no lock file.
  static bool is_held(const VmPaths& paths);
  // The same of a VM in the directory of them all, an open descriptor: no path is walked from the root.
  static bool is_held(int vms, const VmName& name);

  // Who holds it, as the holder wrote it there. For signals alone: whether it is held, is_held says.
  struct Holder {
    pid_t pid = 0;
    uint64_t started = 0;  // process_started
  };
  static std::optional<Holder> holder(const VmPaths& paths);

  // Blocks until no runner holds it; at once where there is no lock file.
  static void wait_until_free(const VmPaths& paths);

  // Whether acquire made the directory.
  bool made_directory() const noexcept { return made_directory_; }

 private:
  VmLock(UniqueFd fd, bool made) : fd_(std::move(fd)), made_directory_(made) {}
  UniqueFd fd_;
  bool made_directory_ = false;
};

}  // namespace mvm::host
