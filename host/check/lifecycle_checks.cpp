// SPDX-License-Identifier: Apache-2.0
// What every plugin owes its host: verbs, states, events, messages.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "check/check.hpp"
#include "check/machine.hpp"
#include "check/running_vm.hpp"
#include "check/stream.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"

namespace mvm::host::check {
namespace {

MVM_PLUGIN_CHECK("info is a message that says what the hypervisor can do", "info", "MVM-P7", own_vm) {
  Machine m;
  const auto info = m.hv().describe();
  MVM_REQUIRE(info.has_value());
  MVM_EXPECT(info->kernel_formats_size() > 0);
  MVM_EXPECT(info->max_memory_bytes() >= info->min_memory_bytes());
  for (const auto& option : info->options()) {
    MVM_EXPECT(!option.key().empty());
    MVM_EXPECT(!option.help().empty());
  }
}

MVM_PLUGIN_CHECK("the extensions that info lists are those that the plugin has", "extensions", "MVM-P13", own_vm) {
  Machine m;
  const auto& listed = m.info().extensions();
  for (const auto& id : listed) MVM_EXPECT(m.has_extension(id));
  for (const std::string id : {MVM_EXT_UNSHARE_DIR, MVM_EXT_PAUSE, MVM_EXT_GUEST_CONNECT}) {
    const bool is_listed = std::find(listed.begin(), listed.end(), id) != listed.end();
    MVM_EXPECT(m.has_extension(id) == is_listed);
  }
}

MVM_PLUGIN_CHECK("an extension id that nobody knows finds nothing, whatever its bytes", "extensions", "MVM-P13",
                 own_vm) {
  Machine m;
  for (const std::string& id : {std::string(), std::string("mvm.unshare-dir/2"), std::string("mvm.unshare-dir"),
                                std::string("\xff\x01"), std::string(100'000, 'x')}) {
    MVM_EXPECT(!m.has_extension(id));
  }
}

MVM_PLUGIN_CHECK("the answer for an extension id stays the same over a VM's life", "extensions", "MVM-P13", own_vm) {
  Machine m;
  const bool before = m.has_extension(MVM_EXT_UNSHARE_DIR);
  m.start();
  MVM_EXPECT(m.has_extension(MVM_EXT_UNSHARE_DIR) == before);
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  MVM_EXPECT(m.has_extension(MVM_EXT_UNSHARE_DIR) == before);
}

MVM_PLUGIN_CHECK("a VM boots, is listed as running, and is gone after a stop", "lifecycle", "", own_vm) {
  Machine m;
  MVM_EXPECT(m.list().vms_size() == 0);
  const Outcome booted = m.boot(m.spec());
  // The one check that says so aloud; the others are skipped.
  if (booted.status != MVM_OK && subject().kernel.empty())
    throw Ended(Verdict::warning, BootFailed(booted.error).what());
  MVM_REQUIRE(booted.error == "");
  MVM_REQUIRE(booted.status == MVM_OK);
  v1::VmInfo info;
  MVM_REQUIRE(info.ParseFromString(booted.reply));
  MVM_EXPECT(info.name() == "demo");
  MVM_EXPECT(info.state() == v1::VM_STATE_RUNNING);
  MVM_REQUIRE(m.list().vms_size() == 1);
  MVM_EXPECT(m.list().vms(0).name() == "demo");
  MVM_EXPECT(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  MVM_REQUIRE(m.stop(!m.info().graceful_stop()).status == MVM_OK);
  MVM_EXPECT(m.list().vms_size() == 0);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a boot of a name that runs already is busy, and the VM runs on", "lifecycle", "", own_vm) {
  Machine m;
  m.start();
  const Outcome second = m.boot(m.spec());
  MVM_EXPECT(second.status == MVM_ERR_BUSY);
  MVM_EXPECT(!second.error.empty());
  MVM_EXPECT(m.list().vms_size() == 1);
}

MVM_PLUGIN_CHECK("a stop of a VM that is not there is not found", "lifecycle", "", own_vm) {
  Machine m;
  MVM_EXPECT(m.stop(false).status == MVM_ERR_NOT_FOUND);
  MVM_EXPECT(m.stop(true).status == MVM_ERR_NOT_FOUND);
}

MVM_PLUGIN_CHECK("a stopped VM cannot be stopped again, and can be booted again", "lifecycle", "", own_vm) {
  Machine m;
  for (int round = 0; round < 2; ++round) {
    m.start();
    MVM_REQUIRE(m.stop(true).status == MVM_OK);
    MVM_EXPECT(m.stop(true).status == MVM_ERR_NOT_FOUND);
  }
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a stop overtakes a boot, which is then cancelled", "completion", "MVM-P4", own_vm) {
  Machine m;
  m.must_be_able_to_boot();
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) m.set_option(spec, "boot-delay", "600000");
  const Call boot;
  m.hv().boot(spec.SerializeAsString(), boot.completion());
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  const Outcome outcome = boot.wait();
  if (m.has_option("boot-delay")) MVM_EXPECT(outcome.status == MVM_ERR_CANCELLED);
  MVM_EXPECT((outcome.status == MVM_OK || outcome.status == MVM_ERR_CANCELLED));
  MVM_EXPECT(m.list().vms_size() == 0);
  m.must_boot(m.spec());
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a guest that ignores the graceful stop runs on after its deadline, and a forced stop ends it",
                 "lifecycle", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option ignore-stop", m.has_option("ignore-stop"));
  m.start({{"ignore-stop", "1"}});
  const Outcome graceful = m.stop(false, 50);
  MVM_EXPECT(graceful.status == MVM_ERR_DEADLINE);
  MVM_EXPECT(!graceful.error.empty());
  MVM_REQUIRE(m.list().vms_size() == 1);
  MVM_EXPECT(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  MVM_EXPECT(m.stop(true).status == MVM_OK);
  MVM_EXPECT(m.list().vms_size() == 0);
}

MVM_PLUGIN_CHECK("two stops of one VM both end well", "completion", "MVM-P4", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option stop-delay", m.has_option("stop-delay"));
  m.start({{"stop-delay", "600000"}});
  v1::StopRequest request;
  request.set_name("demo");
  const Call graceful;
  m.hv().stop(request.SerializeAsString(), graceful.completion());
  MVM_EXPECT(m.stop(true).status == MVM_OK);
  MVM_EXPECT(graceful.wait().status == MVM_OK);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a boot that fails says why and leaves nothing behind", "errors", "MVM-P8", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option boot-error", m.has_option("boot-error"));
  v1::VmSpec spec = m.spec();
  m.set_option(spec, "boot-error", "no such luck");
  const Outcome failed = m.boot(spec);
  MVM_EXPECT(failed.status == MVM_ERR_INTERNAL);
  MVM_EXPECT(contains(failed.error, "no such luck"));
  MVM_EXPECT(m.list().vms_size() == 0);
  MVM_EXPECT(m.events() == 0);
  m.must_boot(m.spec());
}

MVM_PLUGIN_CHECK("a kernel that cannot be opened fails the boot by its name", "errors", "MVM-P8", own_vm) {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.set_kernel("/nonexistent/vmlinuz");
  const Outcome failed = m.boot(spec);
  MVM_EXPECT(failed.status < 0);
  MVM_EXPECT(contains(failed.error, "/nonexistent/vmlinuz"));
  MVM_EXPECT(m.list().vms_size() == 0);
}

MVM_PLUGIN_CHECK("cpus and memory outside of what info says are refused with a reason", "errors", "MVM-P8", own_vm) {
  Machine m;
  const auto refused = [&](const v1::VmSpec& spec, const char* subject_of_error) {
    const Outcome outcome = m.boot(spec);
    MVM_EXPECT(outcome.status == MVM_ERR_INVALID);
    MVM_EXPECT(starts_with(outcome.error, subject_of_error));
  };
  v1::VmSpec spec = m.spec();
  if (m.info().max_cpus() != 0) {
    spec.set_cpus(m.info().max_cpus() + 1);
    refused(spec, "cpus");
  }
  spec = m.spec();
  if (m.info().min_memory_bytes() > 1) {
    spec.set_memory_bytes(m.info().min_memory_bytes() - 1);
    refused(spec, "memory");
  }
  spec = m.spec();
  if (m.info().max_memory_bytes() != 0) {
    spec.set_memory_bytes(m.info().max_memory_bytes() + 1);
    refused(spec, "memory");
  }
}

MVM_PLUGIN_CHECK("an option that the hypervisor does not know is invalid, by its name", "errors", "MVM-P8", own_vm) {
  Machine m;
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["no-such-option"] = "1";
  const Outcome failed = m.boot(spec);
  MVM_EXPECT(failed.status == MVM_ERR_INVALID);
  MVM_EXPECT(contains(failed.error, "no-such-option"));
  for (const auto& option : m.info().options()) MVM_EXPECT(contains(failed.error, option.key()));
}

MVM_PLUGIN_CHECK("an option's value that is none is invalid, by its key and value", "errors", "MVM-P8", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option boot-delay of the plugin", subject().script.empty() && m.has_option("boot-delay"));
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["boot-delay"] = "soon";
  const Outcome failed = m.boot(spec);
  MVM_EXPECT(failed.status == MVM_ERR_INVALID);
  MVM_EXPECT(failed.error == "option boot-delay: \"soon\" is not a number of milliseconds");
}

MVM_PLUGIN_CHECK("a required feature that the plugin does not know is unsupported, never ignored", "errors", "MVM-P12",
                 own_vm) {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.add_required_features("time-travel");
  const Outcome failed = m.boot(spec);
  MVM_EXPECT(failed.status == MVM_ERR_UNSUPPORTED);
  MVM_EXPECT(contains(failed.error, "time-travel"));
  MVM_EXPECT(m.list().vms_size() == 0);
}

MVM_PLUGIN_CHECK("the features that info lists may be required", "info", "MVM-P12", own_vm) {
  Machine m;
  v1::VmSpec spec = m.spec();
  *spec.mutable_required_features() = m.info().features();
  m.must_boot(spec);
}

MVM_PLUGIN_CHECK("bytes that are no message are refused with a reason by every verb", "errors", "MVM-P8", own_vm) {
  Machine m;
  const auto refused = [](const Outcome& outcome) {
    MVM_EXPECT(outcome.status == MVM_ERR_INVALID);
    MVM_EXPECT(!outcome.error.empty());
  };
  const Call boot;
  m.hv().boot(garbage, boot.completion());
  refused(boot.wait());
  m.start();
  const Call stop, connect, share;
  m.hv().stop(garbage, stop.completion());
  refused(stop.wait());
  if (m.info().vsock()) {
    m.hv().vsock_connect(garbage, connect.fd_completion());
    refused(connect.wait());
  }
  if (m.info().share_dir_while_running()) {
    m.hv().share_dir(garbage, share.completion());
    refused(share.wait());
  }
  MVM_EXPECT(m.list().vms_size() == 1);
}

MVM_PLUGIN_CHECK("a request's bytes may be gone as soon as the call has returned", "completion", "MVM-P6 MVM-H5",
                 own_vm) {
  Machine m;
  const auto scribbled = [](auto&& call, std::string bytes) {
    call(bytes);
    std::fill(bytes.begin(), bytes.end(), '\xff');
  };
  const Call boot;
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) m.set_option(spec, "boot-delay", "20");
  scribbled([&](Bytes b) { m.hv().boot(b, boot.completion()); }, spec.SerializeAsString());
  if (const Outcome booted = boot.wait(); booted.status != MVM_OK) throw BootFailed(booted.error);
  MVM_REQUIRE(m.list().vms_size() == 1);
  MVM_EXPECT(m.list().vms(0).name() == "demo");
  v1::StopRequest request;
  request.set_name("demo");
  request.set_force(true);
  const Call stop;
  scribbled([&](Bytes b) { m.hv().stop(b, stop.completion()); }, request.SerializeAsString());
  MVM_EXPECT(stop.wait().status == MVM_OK);
}

MVM_PLUGIN_CHECK("a call in the wrong state is answered busy and never reaches the plugin", "threads", "MVM-H3",
                 own_vm) {
  Machine m;
  const auto reached = [&](const std::string& call) {
    const auto calls = m.calls();
    return std::count(calls.begin(), calls.end(), call);
  };
  if (m.info().vsock()) MVM_EXPECT(m.connect(7).status == MVM_ERR_BUSY);
  if (m.info().share_dir_while_running()) MVM_EXPECT(m.share("tag", "/tmp", true).status == MVM_ERR_BUSY);
  MVM_EXPECT(reached("vsock_connect") == 0);
  MVM_EXPECT(reached("share_dir") == 0);
  m.start();
  MVM_EXPECT(m.boot(m.spec()).status == MVM_ERR_BUSY);
  MVM_EXPECT(reached("boot") == 1);
}

MVM_PLUGIN_CHECK("destroy answers a boot that is under way", "completion", "MVM-P10", own_vm) {
  Machine m;
  m.must_be_able_to_boot();
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) m.set_option(spec, "boot-delay", "600000");
  const Call boot;
  m.hv().boot(spec.SerializeAsString(), boot.completion());
  m.destroy();
  MVM_REQUIRE(boot.answered());
  const mvm_status status = boot.wait().status;
  MVM_EXPECT((status == MVM_OK || status == MVM_ERR_CANCELLED));
  check_no_rule_was_broken(m);
}

// False: the verb cannot be made to hang.
bool destroy_answers(const std::string& verb) {
  Machine m;
  if (!m.has_option("hang", verb)) return false;
  const Call call;
  v1::VmSpec spec = m.spec();
  m.set_option(spec, "hang", verb);
  if (verb == "boot") {
    m.hv().boot(spec.SerializeAsString(), call.completion());
  } else {
    m.must_boot(spec);
    v1::StopRequest stop;
    stop.set_name("demo");
    v1::VsockConnectRequest connect;
    connect.set_name("demo");
    connect.set_port(7);
    v1::ShareDirRequest share;
    share.set_name("demo");
    if (verb == "stop") m.hv().stop(stop.SerializeAsString(), call.completion());
    if (verb == "vsock_connect") m.hv().vsock_connect(connect.SerializeAsString(), call.fd_completion());
    if (verb == "share_dir") m.hv().share_dir(share.SerializeAsString(), call.completion());
  }
  MVM_EXPECT(!call.answered());
  m.destroy();
  MVM_REQUIRE(call.answered());
  MVM_EXPECT(call.wait().status == MVM_ERR_CANCELLED);
  check_no_rule_was_broken(m);
  return true;
}

MVM_PLUGIN_CHECK("destroy answers every other open call too", "completion", "MVM-P10", own_vm) {
  int tried = 0;
  for (const char* verb : {"boot", "stop", "vsock_connect", "share_dir"}) tried += destroy_answers(verb) ? 1 : 0;
  MVM_SKIP_UNLESS("option hang", tried > 0);
}

MVM_PLUGIN_CHECK("destroy takes a running VM down, and with it the instance's threads and files", "fds", "MVM-P10",
                 own_vm) {
  const size_t before = open_fds();
  {
    Machine m;
    m.start();
    m.destroy();
    if (m.console().opened()) MVM_EXPECT(m.console().wait_for_end());
  }
  MVM_EXPECT(open_fds() <= before + 1);  // the host's own log
}

MVM_PLUGIN_CHECK("the guest's console reaches the host, with the kernel's command line", "console", "", own_vm) {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.set_cmdline(spec.cmdline() + " mvm.contract=4711");
  m.must_boot(spec);
  MVM_SKIP_UNLESS("a console: the plugin opened none", m.console().opened());
  MVM_EXPECT(m.console().wait_for("mvm.contract=4711"));
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  MVM_EXPECT(m.console().wait_for_end());
}

MVM_PLUGIN_CHECK("a console that floods holds nobody up", "console", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option console-lines", m.has_option("console-lines"));
  m.start({{"console-lines", "200000"}});
  MVM_EXPECT(m.console().wait_for("console line 200000\r\n"));
  MVM_EXPECT(m.stop(false).status == MVM_OK);
}

MVM_PLUGIN_CHECK("a stop is told of as an exit by the host, once", "events", "MVM-P11", own_vm) {
  Machine m;
  m.start();
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  const auto exited = m.wait_for_exit();
  MVM_REQUIRE(exited.has_value());
  MVM_EXPECT(exited->reason() == v1::EXIT_REASON_HOST_STOP);
  m.destroy();
  MVM_EXPECT(m.events() == 1);
}

void told_of_end(const char* option, v1::ExitReason reason, const char* on_console) {
  Machine m;
  MVM_SKIP_UNLESS("options exit-after, reset-after, panic-after", m.has_option(option));
  m.start({{option, "10"}});
  const auto exited = m.wait_for_exit();
  MVM_REQUIRE(exited.has_value());
  MVM_EXPECT(exited->reason() == reason);
  MVM_EXPECT(!exited->detail().empty());
  MVM_EXPECT(m.console().wait_for(on_console));
  MVM_EXPECT(m.console().wait_for_end());
  MVM_EXPECT(m.list().vms_size() == 0);
  MVM_EXPECT(m.stop(false).status == MVM_ERR_NOT_FOUND);
  m.destroy();
  MVM_EXPECT(m.events() == 1);
}

MVM_PLUGIN_CHECK("a guest that ends by itself is told of with its reason, and nothing after", "events", "MVM-P11",
                 own_vm) {
  told_of_end("exit-after", v1::EXIT_REASON_GUEST_SHUTDOWN, "Power down");
  told_of_end("reset-after", v1::EXIT_REASON_GUEST_RESET, "Restarting system");
  told_of_end("panic-after", v1::EXIT_REASON_GUEST_PANIC, "Kernel panic - not syncing: ");
}

MVM_PLUGIN_CHECK("a VM that is booted fifty times leaks no file", "fds", "MVM-P5", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("a guest that boots at once (option boot-delay)", m.has_option("boot-delay"));
  const auto round = [&] {
    m.start();
    if (const auto port = subject().service("echo")) m.open_stream(*port);
    MVM_REQUIRE(m.stop(true).status == MVM_OK);
    MVM_REQUIRE(m.console().wait_for_end());
  };
  round();
  const size_t before = open_fds();
  for (int n = 0; n < 50; ++n) round();
  MVM_EXPECT(open_fds() <= before + 1);  // the last console's reader may be about to close its end
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("list and connect may be called from many threads while the VM runs", "threads", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  MVM_SKIP_UNLESS("service echo", port);
  std::atomic<int> connected{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int n = 0; n < 25; ++n) {
        if (m.list().vms_size() == 1 && m.connect(*port, 10'000).status == MVM_OK) ++connected;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  MVM_EXPECT(connected == 100);
  check_no_rule_was_broken(m);
}

}  // namespace

void link_lifecycle_checks() {}

}  // namespace mvm::host::check
