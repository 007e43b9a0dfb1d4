// SPDX-License-Identifier: Apache-2.0
// What most commands begin with: the VM by its name, and its runner.
#pragma once

#include <memory>
#include <string>

#include "cli/command.hpp"
#include "control/control_client.hpp"

namespace mvm::host {

struct NamedVm {
  VmStore store;
  VmName name;
  pb::VmRecord record;  // as it is in truth

  bool active() const { return is_active(*parse_vm_state(record.state())); }
  // Error (failed): its runner does not answer, or there is none.
  Result<std::unique_ptr<ControlClient>> connect() const;
};

// Errors: invalid (the name; a --hypervisor that isn't the record's), not_found.
Result<NamedVm> find_vm(const GlobalOptions& globals, const std::string& name);

// The same, connected; an error (failed) where it isn't running.
Result<std::unique_ptr<ControlClient>> connect_vm(const GlobalOptions& globals, const std::string& name);

}  // namespace mvm::host
