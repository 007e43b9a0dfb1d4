// SPDX-License-Identifier: Apache-2.0
#include "apple_vz_hypervisor.hpp"

#include <algorithm>
#include <utility>

#include "bridge/host_system.hpp"
#include "machine/describe.hpp"
#include "machine/identity.hpp"
#include "machine/make_plan.hpp"
#include "machine/spec_check.hpp"
#include "network/guest_address.hpp"

namespace mvm::apple_vz {
namespace {

constexpr uint32_t guest_cid = 3;

v1::VmInfo starting(const v1::VmSpec& spec) {
  v1::VmInfo info;
  info.set_name(spec.name());
  info.set_state(v1::VM_STATE_STARTING);
  info.set_guest_cid(guest_cid);
  *info.mutable_shares() = spec.shares();
  return info;
}

}  // namespace

void AppleVzHypervisor::Machines::add(std::shared_ptr<Machine> machine) {
  const std::lock_guard lock(mutex);
  alive.push_back(std::move(machine));
}

void AppleVzHypervisor::Machines::remove(const Machine& machine) {
  const std::lock_guard lock(mutex);
  std::erase_if(alive, [&](const auto& one) { return one.get() == &machine; });
  one_less.notify_all();
}

std::shared_ptr<Machine> AppleVzHypervisor::Machines::find(const std::string& name) {
  const std::lock_guard lock(mutex);
  const auto found = std::find_if(alive.rbegin(), alive.rend(), [&](const auto& one) { return one->name() == name; });
  return found == alive.rend() ? nullptr : *found;
}

std::vector<std::shared_ptr<Machine>> AppleVzHypervisor::Machines::all() {
  const std::lock_guard lock(mutex);
  return alive;
}

AppleVzHypervisor::AppleVzHypervisor(Host host, Bytes config)
    : machines_(std::make_shared<Machines>()), ground_{host,
                                                       {},
                                                       {},
                                                       parse<v1::InstanceConfig>(config).state_dir(),
                                                       {},
                                                       [machines = machines_](const Machine& machine) { machines->remove(machine); }} {}

AppleVzHypervisor::~AppleVzHypervisor() {
  for (const auto& machine : machines_->all()) {
    machine->queue().post([machine] { machine->stop(true, {}, Completion([](mvm_status, Bytes, Bytes) {})); });
  }
  std::unique_lock lock(machines_->mutex);
  machines_->one_less.wait(lock, [this] { return machines_->alive.empty(); });  // bounded: Patience
}

template <class Done, class Fn>
void AppleVzHypervisor::with_machine(const std::string& name, Done done, Fn fn) {
  auto machine = machines_->find(name);
  if (!machine) return done.fail(MVM_ERR_NOT_FOUND, "vm " + name + ": is not running");
  const Queue queue = machine->queue();
  queue.post([machine = std::move(machine), done = std::move(done), fn = std::move(fn)] {
    try {
      fn(*machine, done);
    } catch (...) {
      done.fail_with_current_exception();
    }
  });
}

std::string AppleVzHypervisor::info() { return describe().SerializeAsString(); }

void AppleVzHypervisor::boot(Bytes vm_spec, Completion done) {
  const auto spec = parse<v1::VmSpec>(vm_spec);
  auto machine = std::make_shared<Machine>(ground_, spec, make_plan(spec, ground_.state_dir));
  ground_.table.add(starting(spec));
  machines_->add(machine);
  const Queue queue = machine->queue();
  queue.post([machine = std::move(machine), done = std::move(done)] { machine->boot(done); });
}

void AppleVzHypervisor::stop(Bytes stop_request, Completion done) {
  const auto request = parse<v1::StopRequest>(stop_request);
  with_machine(request.name(), std::move(done), [request](Machine& machine, const Completion& d) {
    machine.stop(request.force(), std::chrono::milliseconds(request.timeout_ms()), d);
  });
}

std::string AppleVzHypervisor::list() {
  v1::VmList list = ground_.table.list();
  for (v1::VmInfo& vm : *list.mutable_vms()) {
    const auto machine = machines_->find(vm.name());
    if (machine && !machine->mac().empty()) vm.set_guest_address(guest_address(machine->mac()));
  }
  return list.SerializeAsString();
}

void AppleVzHypervisor::vsock_connect(Bytes request, FdCompletion done) {
  const auto r = parse<v1::VsockConnectRequest>(request);
  with_machine(r.name(), std::move(done), [r](Machine& machine, const FdCompletion& d) {
    machine.connect(r.port(), std::chrono::milliseconds(r.timeout_ms()), d);
  });
}

void AppleVzHypervisor::share_dir(Bytes request, Completion done) {
  const auto r = parse<v1::ShareDirRequest>(request);
  check_share(r.share());  // here: a directory far away may be slow
  with_machine(r.name(), std::move(done), [r](Machine& machine, const Completion& d) { machine.share(r.share(), d); });
}

void AppleVzHypervisor::unshare_dir(Bytes request, Completion done) {
  const auto r = parse<v1::UnshareDirRequest>(request);
  with_machine(r.name(), std::move(done), [r](Machine& machine, const Completion& d) { machine.unshare(r.tag(), d); });
}

void AppleVzHypervisor::pause(Bytes request, Completion done) {
  with_machine(parse<v1::PauseRequest>(request).name(), std::move(done),
               [](Machine& machine, const Completion& d) { machine.pause(d); });
}

void AppleVzHypervisor::resume(Bytes request, Completion done) {
  with_machine(parse<v1::ResumeRequest>(request).name(), std::move(done),
               [](Machine& machine, const Completion& d) { machine.resume(d); });
}

void AppleVzHypervisor::guest_listen(uint32_t port, OnConnect on_connect) {
  if (port == MVM_GUEST_PORT_ANY) {
    throw Error(MVM_ERR_UNSUPPORTED, "guest_listen: Virtualization.framework takes each port by its number");
  }
  const bool on = static_cast<bool>(on_connect);
  ground_.host_ports.listen(port, std::move(on_connect));
  for (const auto& machine : machines_->all()) {
    machine->queue().post([machine, port, on] { machine->listen(port, on); });
  }
}

}  // namespace mvm::apple_vz

MVM_PLUGIN(mvm::apple_vz::AppleVzHypervisor, "apple-vz", MVM_VERSION, "mvmhost")
