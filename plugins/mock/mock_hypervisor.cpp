// SPDX-License-Identifier: Apache-2.0
#include "mock_hypervisor.hpp"

#include <csignal>
#include <cstdlib>
#include <utility>

#include "overlay.hpp"
#include "spec_check.hpp"

namespace mvm::mock {
namespace {

// For option crash: in the very call, so that a host can blame it.
[[noreturn]] void crash() {
  std::raise(SIGSEGV);
  std::abort();  // somebody handled it
}

constexpr uint32_t guest_cid = 3;

v1::VmInfo starting(const v1::VmSpec& spec, const Shares& shares) {
  v1::VmInfo info;
  info.set_name(spec.name());
  info.set_state(v1::VM_STATE_STARTING);
  info.set_guest_cid(guest_cid);
  for (const v1::Share& share : shares.in_force()) *info.add_shares() = share;
  return info;
}

Shares shares_at_boot(const v1::VmSpec& spec) {
  Shares shares;
  for (const v1::Share& share : spec.shares()) shares.add(share);
  return shares;
}

}  // namespace

MockHypervisor::MockHypervisor(Host host, Bytes config)
    : host_(host), loop_(host), ground_{loop_.context(), host_,
                                        host_ports_,     table_,
                                        consoles_,       [this](const std::string& name) { guests_.erase(name); }} {
  parse<v1::InstanceConfig>(config);  // the mock keeps no files; but bytes that are none are refused
}

MockHypervisor::~MockHypervisor() {
  loop_.post([this] {
    for (const auto& [name, guest] : std::exchange(guests_, {})) {
      guest->end(v1::EXIT_REASON_HOST_STOP, "the instance ended");
    }
    consoles_.close_all();
  });
  loop_.finish();
}

void MockHypervisor::crash_if_told(const std::string& name, Verb verb) {
  if (table_.get(name).name().empty()) return;
  const std::lock_guard lock(crashes_mutex_);
  const auto found = crashes_in_.find(name);
  if (found != crashes_in_.end() && found->second == verb) crash();
}

template <class Done, class Fn>
void MockHypervisor::with_guest(std::string name, Done done, Fn fn) {
  loop_.post([this, name = std::move(name), done = std::move(done), fn = std::move(fn)] {
    const auto found = guests_.find(name);
    if (found == guests_.end()) {
      done.fail(MVM_ERR_NOT_FOUND, "vm " + name + ": is not running");
      return;
    }
    const std::shared_ptr<Guest> guest = found->second;  // it may end in there
    try {
      fn(*guest, done);
    } catch (...) {
      done.fail_with_current_exception();
    }
  });
}

std::string MockHypervisor::info() { return describe().SerializeAsString(); }

std::string MockHypervisor::list() { return table_.list().SerializeAsString(); }

void MockHypervisor::boot(Bytes vm_spec, Completion done) {
  const auto spec = parse<v1::VmSpec>(vm_spec);
  check_spec(spec);
  Options options = parse_options(spec.options());
  make_overlays(spec);
  if (options.crash == Verb::boot) crash();
  Shares shares = shares_at_boot(spec);
  const v1::VmInfo info = starting(spec, shares);
  auto guest = std::make_shared<Guest>(ground_, spec, options, std::move(shares));
  table_.add(info);
  {
    const std::lock_guard lock(crashes_mutex_);
    crashes_in_[spec.name()] = options.crash;
  }
  host_.log(MVM_LOG_DEBUG, "vm " + spec.name() + ": boots");
  loop_.post([this, guest = std::move(guest), name = spec.name(), done = std::move(done)] {
    guests_.emplace(name, guest);
    guest->boot(done);
  });
}

void MockHypervisor::stop(Bytes stop_request, Completion done) {
  const auto request = parse<v1::StopRequest>(stop_request);
  crash_if_told(request.name(), Verb::stop);
  with_guest(request.name(), std::move(done), [request](Guest& guest, const Completion& d) {
    guest.stop(request.force(), std::chrono::milliseconds(request.timeout_ms()), d);
  });
}

void MockHypervisor::vsock_connect(Bytes request, FdCompletion done) {
  const auto r = parse<v1::VsockConnectRequest>(request);
  crash_if_told(r.name(), Verb::vsock_connect);
  with_guest(r.name(), std::move(done), [r](Guest& guest, const FdCompletion& d) {
    guest.connect(r.port(), std::chrono::milliseconds(r.timeout_ms()), d);
  });
}

void MockHypervisor::share_dir(Bytes request, Completion done) {
  const auto r = parse<v1::ShareDirRequest>(request);
  crash_if_told(r.name(), Verb::share_dir);
  with_guest(r.name(), std::move(done), [r](Guest& guest, const Completion& d) { guest.share(r.share(), d); });
}

void MockHypervisor::unshare_dir(Bytes request, Completion done) {
  const auto r = parse<v1::UnshareDirRequest>(request);
  with_guest(r.name(), std::move(done), [r](Guest& guest, const Completion& d) { guest.unshare(r.tag(), d); });
}

void MockHypervisor::pause(Bytes request, Completion done) {
  const auto r = parse<v1::PauseRequest>(request);
  with_guest(r.name(), std::move(done), [](Guest& guest, const Completion& d) { guest.pause(d); });
}

void MockHypervisor::resume(Bytes request, Completion done) {
  const auto r = parse<v1::ResumeRequest>(request);
  with_guest(r.name(), std::move(done), [](Guest& guest, const Completion& d) { guest.resume(d); });
}

void MockHypervisor::guest_listen(uint32_t port, OnConnect on_connect) {
  host_ports_.listen(port, std::move(on_connect));
}

}  // namespace mvm::mock

MVM_PLUGIN(mvm::mock::MockHypervisor, "mock", MVM_VERSION, "mvmhost")
