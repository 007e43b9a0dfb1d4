// SPDX-License-Identifier: Apache-2.0
// The instance's VMs as any thread may ask for them.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::qemu {

class VmTable {
 public:
  // Throws mvm::Error, MVM_ERR_BUSY, when the name is taken.
  void add(const v1::VmInfo& info);
  void remove(const std::string& name);
  // The next three do nothing when there is no such VM.
  void set_state(const std::string& name, v1::VmState state);
  void set_pid(const std::string& name, int64_t pid);
  void set_shares(const std::string& name, const std::vector<v1::Share>& shares);

  v1::VmInfo get(const std::string& name) const;  // empty when there is none
  v1::VmList list() const;

 private:
  template <class Fn>
  void change(const std::string& name, Fn fn);

  mutable std::mutex mutex_;
  std::map<std::string, v1::VmInfo> vms_;
};

}  // namespace mvm::qemu
