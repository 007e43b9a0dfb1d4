// SPDX-License-Identifier: Apache-2.0
#include "vm_table.hpp"

#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {

void VmTable::add(const v1::VmInfo& info) {
  const std::lock_guard lock(mutex_);
  if (!vms_.try_emplace(info.name(), info).second) {
    throw Error(MVM_ERR_BUSY, "vm " + info.name() + ": is booting or running already");
  }
}

void VmTable::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  vms_.erase(name);
}

v1::VmInfo VmTable::get(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = vms_.find(name);
  return found == vms_.end() ? v1::VmInfo() : found->second;
}

v1::VmList VmTable::list() const {
  const std::lock_guard lock(mutex_);
  v1::VmList all;
  for (const auto& [name, vm] : vms_) *all.add_vms() = vm;
  return all;
}

}  // namespace mvm::apple_vz
