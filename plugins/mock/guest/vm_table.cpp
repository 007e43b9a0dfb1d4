// SPDX-License-Identifier: Apache-2.0
#include "vm_table.hpp"

namespace mvm::mock {

void VmTable::add(const v1::VmInfo& info, Verb crash) {
  const std::lock_guard lock(mutex_);
  if (!entries_.try_emplace(info.name(), Entry{info, crash}).second) {
    throw Error(MVM_ERR_BUSY, "vm " + info.name() + ": is booting or running already");
  }
}

void VmTable::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  entries_.erase(name);
}

void VmTable::set_state(const std::string& name, v1::VmState state) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end()) found->second.info.set_state(state);
}

void VmTable::set_shares(const std::string& name, const std::vector<v1::Share>& shares) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  found->second.info.mutable_shares()->Assign(shares.begin(), shares.end());
}

v1::VmInfo VmTable::get(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? v1::VmInfo() : found->second.info;
}

v1::VmList VmTable::list() const {
  const std::lock_guard lock(mutex_);
  v1::VmList all;
  for (const auto& [name, entry] : entries_) *all.add_vms() = entry.info;
  return all;
}

bool VmTable::crashes_in(const std::string& name, Verb verb) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found != entries_.end() && found->second.crash == verb;
}

}  // namespace mvm::mock
