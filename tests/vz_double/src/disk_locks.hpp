// SPDX-License-Identifier: Apache-2.0
// Disk images in use: one writer, or readers.
#pragma once

#include <string>
#include <vector>

#include "machine.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::vz_double {

class DiskLocks {
 public:
  // False when one is in use by another machine of this system; then none is held.
  bool take(const std::vector<MachineDisk>& disks);
  void release() { held_.clear(); }

 private:
  std::vector<UniqueFd> held_;
};

}  // namespace mvm::vz_double
