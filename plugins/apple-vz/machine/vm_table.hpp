// SPDX-License-Identifier: Apache-2.0
// The instance's VMs as any thread may ask for them.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::apple_vz {

class VmTable {
 public:
  // Throws mvm::Error, MVM_ERR_BUSY, when the name is taken.
  void add(const v1::VmInfo& info);
  void remove(const std::string& name);
  // fn(info); nothing when there is no such VM.
  template <class Fn>
  void change(const std::string& name, const Fn& fn) {
    const std::lock_guard lock(mutex_);
    const auto found = vms_.find(name);
    if (found != vms_.end()) fn(found->second);
  }

  v1::VmInfo get(const std::string& name) const;  // empty when there is none
  v1::VmList list() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, v1::VmInfo> vms_;
};

}  // namespace mvm::apple_vz
