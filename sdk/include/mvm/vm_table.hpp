// SPDX-License-Identifier: Apache-2.0
// For authors of hypervisors in C++: the VMs of an instance, which any thread may ask for while others change them:
// list comes at any time. Header-only; knows the standard library, and no Protobuf but the caller's:
// mvm::VmTable<v1::VmList>.
#ifndef MVM_VM_TABLE_HPP
#define MVM_VM_TABLE_HPP

#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include "hypervisor.hpp"

namespace mvm {

// VmList: the caller's class of message mvm.v1.VmList. What is put in and got out is copied; the table owns its own.
template <class VmList>
class VmTable {
 public:
  using VmInfo = std::decay_t<decltype(std::declval<const VmList&>().vms(0))>;

  // [any] By vm.name(). Throws mvm::Error, MVM_ERR_BUSY, when the name is taken; the VM that has it stays as it is.
  void add(const VmInfo& vm) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!vms_.try_emplace(vm.name(), vm).second) {
      throw Error(MVM_ERR_BUSY, "vm " + vm.name() + ": is booting or running already");
    }
  }

  // [any] False: there was no such VM.
  bool remove(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return vms_.erase(name) != 0;
  }

  // [any] fn(VmInfo&): nobody sees the VM half changed. Not called when there is no such VM. It must not call the
  // table, nor change the name.
  template <class Fn>
  void change(const std::string& name, const Fn& fn) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = vms_.find(name);
    if (found != vms_.end()) fn(found->second);
  }

  // [any] Does nothing when there is no such VM.
  template <class VmState>
  void set_state(const std::string& name, VmState state) {
    change(name, [state](VmInfo& vm) { vm.set_state(state); });
  }

  // [any] All shares that are in force, a range of messages mvm.v1.Share. Does nothing when there is no such VM.
  template <class Shares>
  void set_shares(const std::string& name, const Shares& shares) {
    change(name, [&shares](VmInfo& vm) { vm.mutable_shares()->Assign(shares.begin(), shares.end()); });
  }

  // [any] An empty message when there is no such VM.
  VmInfo get(const std::string& name) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = vms_.find(name);
    return found == vms_.end() ? VmInfo() : found->second;
  }

  // [any] By name.
  VmList list() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    VmList all;
    for (const auto& entry : vms_) *all.add_vms() = entry.second;
    return all;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, VmInfo> vms_;
};

}  // namespace mvm

#endif  // MVM_VM_TABLE_HPP
