// SPDX-License-Identifier: 0BSD
// The hypervisor @NAME@: VMs that do nothing yet. "Here" marks where a real one begins. Each verb runs on a thread of
// its own (mvm/blocking.hpp) and may block; what it throws becomes the caller's error.
#include <string>

#include "mvm/blocking.hpp"
#include "mvm/options.hpp"
#include "mvm/plugin.hpp"
#include "mvm/spec_check.hpp"
#include "mvm/vm_table.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace {

namespace v1 = mvm::v1;

void check(const v1::VmSpec& spec) {
  mvm::check_features(spec.required_features(), "@NAME@");
  mvm::check_vm_name(spec.name());
  for (const auto& [key, text] : spec.options()) throw mvm::unknown_option("@NAME@", key);
  mvm::open_regular_file("kernel " + spec.kernel(), spec.kernel());
}

class Machine {
 public:
  Machine(mvm::Host host, mvm::Bytes) : host_(host) {}

  std::string info() {
    v1::HypervisorInfo info;
    for (const auto format : {v1::KERNEL_FORMAT_BZIMAGE, v1::KERNEL_FORMAT_ELF, v1::KERNEL_FORMAT_ARM64_IMAGE}) {
      info.add_kernel_formats(format);
    }
    return info.SerializeAsString();
  }

  std::string boot(mvm::Bytes bytes) {
    const auto spec = mvm::parse<v1::VmSpec>(bytes);
    check(spec);
    v1::VmInfo vm;
    vm.set_name(spec.name());
    vm.set_state(v1::VM_STATE_RUNNING);
    vms_.add(vm);  // Here: start it; where that fails, take it out again.
    return vm.SerializeAsString();
  }

  void stop(mvm::Bytes bytes) {
    const auto request = mvm::parse<v1::StopRequest>(bytes);
    if (!vms_.remove(request.name())) {  // Here: end it.
      throw mvm::Error(MVM_ERR_NOT_FOUND, "vm " + request.name() + ": is not there");
    }
    v1::VmEvent event;
    event.set_name(request.name());
    event.mutable_exited()->set_reason(v1::EXIT_REASON_HOST_STOP);
    host_.event(event.SerializeAsString());
  }

  std::string list() { return vms_.list().SerializeAsString(); }

 private:
  mvm::Host host_;
  mvm::VmTable<v1::VmList> vms_;
};

}  // namespace

MVM_PLUGIN(mvm::Blocking<Machine>, "@NAME@", "0.1.0", "the author")
