// SPDX-License-Identifier: Apache-2.0
#include "cli/running_vm.hpp"

#include "store/socket_dir.hpp"

namespace mvm::host {

Result<std::unique_ptr<ControlClient>> NamedVm::connect() const {
  // A record that isn't written yet has none: it is where it always is.
  auto place = record.socket_dir().empty() ? socket_dir_place(store.home(), name)
                                           : Result<VmSockets>(VmSockets{record.socket_dir()});
  MVM_CHECK(place);
  auto client = ControlClient::connect(place->control());
  if (!client) return fail(ErrorKind::failed, "{}: its runner does not answer: {}", name.str(), client.error().message);
  return client;
}

Result<NamedVm> find_vm(const GlobalOptions& globals, const std::string& text) {
  MVM_TRY(const VmName name, VmName::parse(text));
  MVM_TRY(const VmStore store, globals.store());
  MVM_TRY(auto record, store.look(name));
  if (!globals.hypervisor.empty() && !record.hypervisor().empty() && globals.hypervisor != record.hypervisor()) {
    return fail(ErrorKind::invalid, "{}: runs on hypervisor {}, not {}: leave --hypervisor out", text,
                record.hypervisor(), globals.hypervisor);
  }
  return NamedVm{store, name, std::move(record)};
}

Result<std::unique_ptr<ControlClient>> connect_vm(const GlobalOptions& globals, const std::string& name) {
  MVM_TRY(const NamedVm vm, find_vm(globals, name));
  if (!vm.active()) {
    return fail(ErrorKind::failed, "{}: is {}, not running: boot it first", name, vm.record.state());
  }
  return vm.connect();
}

}  // namespace mvm::host
