// SPDX-License-Identifier: Apache-2.0
// The instance's VMs as any thread may ask for them.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "mvm/hypervisor.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "options.hpp"

namespace mvm::mock {

class VmTable {
 public:
  // crash: the verb that brings the process down. Throws mvm::Error, MVM_ERR_BUSY, when the name is taken.
  void add(const v1::VmInfo& info, Verb crash);
  void remove(const std::string& name);
  void set_state(const std::string& name, v1::VmState state);
  void set_shares(const std::string& name, const std::vector<v1::Share>& shares);

  v1::VmInfo get(const std::string& name) const;
  v1::VmList list() const;
  bool crashes_in(const std::string& name, Verb verb) const;

 private:
  struct Entry {
    v1::VmInfo info;
    Verb crash = Verb::none;
  };

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace mvm::mock
