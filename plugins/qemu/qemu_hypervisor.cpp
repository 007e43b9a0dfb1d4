// SPDX-License-Identifier: Apache-2.0
#include "qemu_hypervisor.hpp"

#include <utility>

#include "machine/accelerator.hpp"
#include "machine/find_program.hpp"
#include "machine/limits.hpp"
#include "machine/options.hpp"
#include "machine/spec_check.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "mvm/features.h"

namespace mvm::qemu {
namespace {

void add_kernel_formats(v1::HypervisorInfo& info) {
  if (host_architecture() == Architecture::x86_64) {
    info.add_kernel_formats(v1::KERNEL_FORMAT_BZIMAGE);
    info.add_kernel_formats(v1::KERNEL_FORMAT_ELF);
  } else {
    info.add_kernel_formats(v1::KERNEL_FORMAT_ARM64_IMAGE);
    info.add_kernel_formats(v1::KERNEL_FORMAT_GZIP);
  }
}

void add_shortfalls(v1::HypervisorInfo& info, const SharingSupport& sharing) {
  if (const auto refusal = kvm_refusal(kvm_device)) {
    info.add_shortfalls(std::string("guests are emulated (TCG), which is slow: ") + refusal->what());
  }
  if (!sharing.supported) info.add_shortfalls(sharing.reason);
}

v1::HypervisorInfo describe(const SharingSupport& sharing) {
  v1::HypervisorInfo info;
  add_kernel_formats(info);
  info.set_max_cpus(max_cpus);
  info.set_min_memory_bytes(min_memory_bytes);
  info.set_max_memory_bytes(max_memory_bytes());
  info.add_disk_formats(v1::DISK_FORMAT_RAW);
  info.add_disk_formats(v1::DISK_FORMAT_QCOW2);
  info.set_vsock(true);
  info.set_share_dir_at_boot(sharing.supported);
  info.set_share_dir_while_running(sharing.supported);
  info.set_max_shares(max_shares);
  info.set_guest_connect_any_port(true);
  info.add_features(MVM_FEATURE_DISK_OVERLAY);
  info.add_extensions(MVM_EXT_UNSHARE_DIR);
  info.add_extensions(MVM_EXT_GUEST_CONNECT);
  info.add_extensions(MVM_EXT_PAUSE);
  for (v1::OptionInfo& option : describe_options()) *info.add_options() = std::move(option);
  info.set_graceful_stop(true);
  info.set_console_device(std::string(console_device(host_architecture())));
  info.set_console_input(true);
  add_shortfalls(info, sharing);
  return info;
}

v1::VmInfo starting(const v1::VmSpec& spec) {
  v1::VmInfo info;
  info.set_name(spec.name());
  info.set_state(v1::VM_STATE_STARTING);
  info.set_guest_cid(guest_cid);
  return info;
}

}  // namespace

QemuHypervisor::QemuHypervisor(Host host, Bytes config)
    : host_(host),
      loop_(host),
      ground_{loop_.context(),
              host_,
              host_ports_,
              table_,
              parse<v1::InstanceConfig>(config).state_dir(),
              QemuProcess::usual_patience,
              {},
              [this](const std::string& name) { machines_.erase(name); }} {}

QemuHypervisor::~QemuHypervisor() {
  loop_.post([this] {
    const auto all = machines_;  // each takes itself out
    for (const auto& [name, machine] : all) machine->stop(true, {}, Completion([](mvm_status, Bytes, Bytes) {}));
  });
  loop_.finish();
}

// Without an option, once for the instance: it takes some 10 ms.
SharingSupport QemuHypervisor::sharing(const std::string& program) {
  if (!program.empty()) {
    SharingProbe probe = SharingProbe::of_this_system();
    probe.programs = {program};
    return find_sharing(probe);
  }
  std::call_once(looked_for_sharing_, [this] { sharing_ = find_sharing(); });
  return sharing_;
}

template <class Done, class Fn>
void QemuHypervisor::with_machine(std::string name, Done done, Fn fn) {
  loop_.post([this, name = std::move(name), done = std::move(done), fn = std::move(fn)] {
    const auto found = machines_.find(name);
    if (found == machines_.end()) {
      done.fail(MVM_ERR_NOT_FOUND, "vm " + name + ": is not running");
      return;
    }
    const std::shared_ptr<Machine> machine = found->second;  // it may end in there
    try {
      fn(*machine, done);
    } catch (...) {
      done.fail_with_current_exception();
    }
  });
}

std::string QemuHypervisor::info() {
  find_qemu(host_architecture());
  return describe(sharing("")).SerializeAsString();
}

std::string QemuHypervisor::list() { return table_.list().SerializeAsString(); }

Plan QemuHypervisor::make_plan(Bytes vm_spec) {
  Plan plan;
  plan.spec = parse<v1::VmSpec>(vm_spec);
  plan.options = parse_options(plan.spec.options());
  check_spec(plan.spec, plan.options.backing_files);
  plan.program = plan.options.qemu.empty() ? find_qemu(host_architecture()) : plan.options.qemu;
  plan.sharing = sharing(plan.options.virtiofsd);
  return plan;
}

void QemuHypervisor::boot(Bytes vm_spec, Completion done) {
  auto machine = std::make_shared<Machine>(ground_, make_plan(vm_spec));
  const std::string name = machine->name();
  table_.add(starting(machine->spec()));
  loop_.post([this, machine = std::move(machine), name, done = std::move(done)] {
    machines_.emplace(name, machine);
    machine->boot(done);
  });
}

void QemuHypervisor::stop(Bytes stop_request, Completion done) {
  const auto request = parse<v1::StopRequest>(stop_request);
  with_machine(request.name(), std::move(done), [request](Machine& machine, const Completion& d) {
    machine.stop(request.force(), std::chrono::milliseconds(request.timeout_ms()), d);
  });
}

void QemuHypervisor::vsock_connect(Bytes request, FdCompletion done) {
  const auto r = parse<v1::VsockConnectRequest>(request);
  with_machine(r.name(), std::move(done), [r](Machine& machine, const FdCompletion& d) {
    machine.connect(r.port(), std::chrono::milliseconds(r.timeout_ms()), d);
  });
}

void QemuHypervisor::share_dir(Bytes request, Completion done) {
  const auto r = parse<v1::ShareDirRequest>(request);
  with_machine(r.name(), std::move(done), [r](Machine& machine, const Completion& d) { machine.share(r.share(), d); });
}

void QemuHypervisor::unshare_dir(Bytes request, Completion done) {
  const auto r = parse<v1::UnshareDirRequest>(request);
  with_machine(r.name(), std::move(done), [r](Machine& machine, const Completion& d) { machine.unshare(r.tag(), d); });
}

void QemuHypervisor::guest_listen(uint32_t port, OnConnect on_connect) {
  host_ports_.listen(port, std::move(on_connect));
}

void QemuHypervisor::pause(Bytes request, Completion done) {
  with_machine(parse<v1::PauseRequest>(request).name(), std::move(done),
               [](Machine& machine, const Completion& d) { machine.pause(d); });
}

void QemuHypervisor::resume(Bytes request, Completion done) {
  with_machine(parse<v1::ResumeRequest>(request).name(), std::move(done),
               [](Machine& machine, const Completion& d) { machine.resume(d); });
}

}  // namespace mvm::qemu

MVM_PLUGIN(mvm::qemu::QemuHypervisor, "qemu", MVM_VERSION, "mvmhost")
