// SPDX-License-Identifier: 0BSD
// The hypervisor @NAME@: one VM, which does nothing yet. "Here" marks where a real one begins. Each verb runs on a
// thread of its own (mvm/blocking.hpp) and may block; what it throws becomes the caller's error.
#include <mutex>
#include <optional>
#include <string>

#include <unistd.h>

#include "mvm/blocking.hpp"
#include "mvm/plugin.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace {

namespace v1 = mvm::v1;

void check(const v1::VmSpec& spec) {
  if (spec.name().empty()) throw mvm::Error(MVM_ERR_INVALID, "spec: has no name");
  for (const auto& feature : spec.required_features()) {
    throw mvm::Error(MVM_ERR_UNSUPPORTED, "feature " + feature + ": is not known here");
  }
  for (const auto& [key, value] : spec.options()) {
    throw mvm::Error(MVM_ERR_INVALID, "option " + key + ": is not known here: there are none");
  }
  if (::access(spec.kernel().c_str(), R_OK) != 0) {
    throw mvm::Error(MVM_ERR_NOT_FOUND, "kernel " + spec.kernel() + ": cannot be read");
  }
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
    const std::lock_guard lock(mutex_);
    if (vm_) throw mvm::Error(MVM_ERR_BUSY, "vm " + spec.name() + ": one is running already");
    vm_.emplace();  // Here: start it.
    vm_->set_name(spec.name());
    vm_->set_state(v1::VM_STATE_RUNNING);
    return vm_->SerializeAsString();
  }

  void stop(mvm::Bytes bytes) {
    const auto request = mvm::parse<v1::StopRequest>(bytes);
    const std::lock_guard lock(mutex_);
    if (!vm_ || vm_->name() != request.name()) {
      throw mvm::Error(MVM_ERR_NOT_FOUND, "vm " + request.name() + ": is not there");
    }
    vm_.reset();  // Here: end it.
    v1::VmEvent event;
    event.set_name(request.name());
    event.mutable_exited()->set_reason(v1::EXIT_REASON_HOST_STOP);
    host_.event(event.SerializeAsString());
  }

  std::string list() {
    v1::VmList list;
    const std::lock_guard lock(mutex_);
    if (vm_) *list.add_vms() = *vm_;
    return list.SerializeAsString();
  }

 private:
  mvm::Host host_;
  std::mutex mutex_;
  std::optional<v1::VmInfo> vm_;
};

}  // namespace

MVM_PLUGIN(mvm::Blocking<Machine>, "@NAME@", "0.1.0", "the author")
