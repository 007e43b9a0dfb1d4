// SPDX-License-Identifier: Apache-2.0
#include "check/running_vm.hpp"

#include <exception>
#include <utility>

namespace mvm::host::check {
namespace {

std::shared_ptr<Machine>& kept() {
  static std::shared_ptr<Machine> machine;
  return machine;
}

bool as_it_was(Machine& machine) {
  v1::VmList list = machine.list();
  if (list.vms_size() != 1 || list.vms(0).state() != v1::VM_STATE_RUNNING) return false;
  for (const auto& share : list.vms(0).shares()) {
    if (machine.unshare(share.tag()).status != MVM_OK) return false;
  }
  return true;
}

}  // namespace

RunningVm::RunningVm() : exceptions_(std::uncaught_exceptions()) {
  machine_ = kept();
  if (machine_) return;
  machine_ = std::make_shared<Machine>();
  machine_->start();
  if (subject().one_vm) kept() = machine_;
}

RunningVm::~RunningVm() {
  try {
    if (kept() && (std::uncaught_exceptions() > exceptions_ || !as_it_was(*machine_))) kept().reset();
  } catch (...) {
    kept().reset();
  }
}

void RunningVm::drop_kept() { kept().reset(); }

}  // namespace mvm::host::check
