// SPDX-License-Identifier: Apache-2.0
#include "vm_table.hpp"

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

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

template <class Fn>
void VmTable::change(const std::string& name, Fn fn) {
  const std::lock_guard lock(mutex_);
  const auto found = vms_.find(name);
  if (found != vms_.end()) fn(found->second);
}

void VmTable::set_state(const std::string& name, v1::VmState state) {
  change(name, [state](v1::VmInfo& vm) { vm.set_state(state); });
}

void VmTable::set_pid(const std::string& name, int64_t pid) {
  change(name, [pid](v1::VmInfo& vm) { vm.set_hypervisor_pid(pid); });
}

void VmTable::set_shares(const std::string& name, const std::vector<v1::Share>& shares) {
  change(name, [&shares](v1::VmInfo& vm) { vm.mutable_shares()->Assign(shares.begin(), shares.end()); });
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

}  // namespace mvm::qemu
