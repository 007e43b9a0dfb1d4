// SPDX-License-Identifier: Apache-2.0
// What every plugin owes its host: verbs, states, events, messages.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "contract/support/machine.hpp"
#include "contract/support/needs.hpp"
#include "contract/support/running_vm.hpp"
#include "contract/support/stream.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::test;

TEST_CASE("info is a message that says what the hypervisor can do", "[contract][MVM-P7]") {
  Machine m;
  const auto info = m.hv().describe();
  REQUIRE(info.has_value());
  CHECK(info->kernel_formats_size() > 0);
  CHECK(info->max_memory_bytes() >= info->min_memory_bytes());
  for (const auto& option : info->options()) {
    CHECK_FALSE(option.key().empty());
    CHECK_FALSE(option.help().empty());
  }
}

TEST_CASE("the extensions that info lists are those that the plugin has", "[contract][MVM-P13]") {
  Machine m;
  const auto& listed = m.info().extensions();
  for (const auto& id : listed) CHECK(m.has_extension(id));
  for (const std::string id : {MVM_EXT_UNSHARE_DIR, MVM_EXT_PAUSE, MVM_EXT_GUEST_CONNECT}) {
    const bool is_listed = std::find(listed.begin(), listed.end(), id) != listed.end();
    CHECK(m.has_extension(id) == is_listed);
  }
}

TEST_CASE("an extension id that nobody knows finds nothing, whatever its bytes", "[contract][MVM-P13]") {
  Machine m;
  for (const std::string& id : {std::string(), std::string("mvm.unshare-dir/2"), std::string("mvm.unshare-dir"),
                                std::string("\xff\x01"), std::string(100'000, 'x')}) {
    CHECK_FALSE(m.has_extension(id));
  }
}

TEST_CASE("the answer for an extension id stays the same over a VM's life", "[contract][MVM-P13]") {
  Machine m;
  const bool before = m.has_extension(MVM_EXT_UNSHARE_DIR);
  m.start();
  CHECK(m.has_extension(MVM_EXT_UNSHARE_DIR) == before);
  REQUIRE(m.stop(true).status == MVM_OK);
  CHECK(m.has_extension(MVM_EXT_UNSHARE_DIR) == before);
}

TEST_CASE("a VM boots, is listed as running, and is gone after a stop", "[contract]") {
  Machine m;
  CHECK(m.list().vms_size() == 0);
  const Outcome booted = m.boot(m.spec());
  REQUIRE(booted.error == "");
  REQUIRE(booted.status == MVM_OK);
  v1::VmInfo info;
  REQUIRE(info.ParseFromString(booted.reply));
  CHECK(info.name() == "demo");
  CHECK(info.state() == v1::VM_STATE_RUNNING);
  REQUIRE(m.list().vms_size() == 1);
  CHECK(m.list().vms(0).name() == "demo");
  CHECK(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  REQUIRE(m.stop(!m.info().graceful_stop()).status == MVM_OK);
  CHECK(m.list().vms_size() == 0);
  check_no_rule_was_broken(m);
}

TEST_CASE("a boot of a name that runs already is busy, and the VM runs on", "[contract]") {
  Machine m;
  m.start();
  const Outcome second = m.boot(m.spec());
  CHECK(second.status == MVM_ERR_BUSY);
  CHECK_FALSE(second.error.empty());
  CHECK(m.list().vms_size() == 1);
}

TEST_CASE("a stop of a VM that is not there is not found", "[contract]") {
  Machine m;
  CHECK(m.stop(false).status == MVM_ERR_NOT_FOUND);
  CHECK(m.stop(true).status == MVM_ERR_NOT_FOUND);
}

TEST_CASE("a stopped VM cannot be stopped again, and can be booted again", "[contract]") {
  Machine m;
  for (int round = 0; round < 2; ++round) {
    m.start();
    REQUIRE(m.stop(true).status == MVM_OK);
    CHECK(m.stop(true).status == MVM_ERR_NOT_FOUND);
  }
  check_no_rule_was_broken(m);
}

TEST_CASE("a stop overtakes a boot, which is then cancelled", "[contract][MVM-P4]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) (*spec.mutable_options())["boot-delay"] = "600000";
  const Call boot;
  m.hv().boot(spec.SerializeAsString(), boot.completion());
  REQUIRE(m.stop(true).status == MVM_OK);
  const Outcome outcome = boot.wait();
  if (m.has_option("boot-delay")) CHECK(outcome.status == MVM_ERR_CANCELLED);
  CHECK((outcome.status == MVM_OK || outcome.status == MVM_ERR_CANCELLED));
  CHECK(m.list().vms_size() == 0);
  CHECK(m.boot(m.spec()).status == MVM_OK);
  check_no_rule_was_broken(m);
}

TEST_CASE("a guest that ignores the graceful stop runs on after its deadline, and a forced stop ends it",
          "[contract]") {
  Machine m;
  NEEDS("option ignore-stop", m.has_option("ignore-stop"));
  m.start({{"ignore-stop", "1"}});
  const Outcome graceful = m.stop(false, 50);
  CHECK(graceful.status == MVM_ERR_DEADLINE);
  CHECK_FALSE(graceful.error.empty());
  REQUIRE(m.list().vms_size() == 1);
  CHECK(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  CHECK(m.stop(true).status == MVM_OK);
  CHECK(m.list().vms_size() == 0);
}

TEST_CASE("two stops of one VM both end well", "[contract][MVM-P4]") {
  Machine m;
  NEEDS("option stop-delay", m.has_option("stop-delay"));
  m.start({{"stop-delay", "600000"}});
  v1::StopRequest request;
  request.set_name("demo");
  const Call graceful;
  m.hv().stop(request.SerializeAsString(), graceful.completion());
  CHECK(m.stop(true).status == MVM_OK);
  CHECK(graceful.wait().status == MVM_OK);
  check_no_rule_was_broken(m);
}

TEST_CASE("a boot that fails says why and leaves nothing behind", "[contract][MVM-P8]") {
  Machine m;
  NEEDS("option boot-error", m.has_option("boot-error"));
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["boot-error"] = "no such luck";
  const Outcome failed = m.boot(spec);
  CHECK(failed.status == MVM_ERR_INTERNAL);
  CHECK_THAT(failed.error, ContainsSubstring("no such luck"));
  CHECK(m.list().vms_size() == 0);
  CHECK(m.events() == 0);
  CHECK(m.boot(m.spec()).status == MVM_OK);
}

TEST_CASE("a kernel that cannot be opened fails the boot by its name", "[contract][MVM-P8]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.set_kernel("/nonexistent/vmlinuz");
  const Outcome failed = m.boot(spec);
  CHECK(failed.status < 0);
  CHECK_THAT(failed.error, ContainsSubstring("/nonexistent/vmlinuz"));
  CHECK(m.list().vms_size() == 0);
}

TEST_CASE("cpus and memory outside of what info says are refused with a reason", "[contract][MVM-P8]") {
  Machine m;
  const auto refused = [&](const v1::VmSpec& spec, const char* subject_of_error) {
    const Outcome outcome = m.boot(spec);
    CHECK(outcome.status == MVM_ERR_INVALID);
    CHECK_THAT(outcome.error, StartsWith(subject_of_error));
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

TEST_CASE("an option that the hypervisor does not know is invalid, by its name", "[contract][MVM-P8]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["no-such-option"] = "1";
  const Outcome failed = m.boot(spec);
  CHECK(failed.status == MVM_ERR_INVALID);
  CHECK_THAT(failed.error, ContainsSubstring("no-such-option"));
  for (const auto& option : m.info().options()) CHECK_THAT(failed.error, ContainsSubstring(option.key()));
}

TEST_CASE("an option's value that is none is invalid, by its key and value", "[contract][MVM-P8]") {
  Machine m;
  NEEDS("option boot-delay", m.has_option("boot-delay"));
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["boot-delay"] = "soon";
  const Outcome failed = m.boot(spec);
  CHECK(failed.status == MVM_ERR_INVALID);
  CHECK(failed.error == "option boot-delay: \"soon\" is not a number of milliseconds");
}

TEST_CASE("a required feature that the plugin does not know is unsupported, never ignored", "[contract][MVM-P12]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.add_required_features("time-travel");
  const Outcome failed = m.boot(spec);
  CHECK(failed.status == MVM_ERR_UNSUPPORTED);
  CHECK_THAT(failed.error, ContainsSubstring("time-travel"));
  CHECK(m.list().vms_size() == 0);
}

TEST_CASE("the features that info lists may be required", "[contract][MVM-P12]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  *spec.mutable_required_features() = m.info().features();
  CHECK(m.boot(spec).status == MVM_OK);
}

TEST_CASE("bytes that are no message are refused with a reason by every verb", "[contract][MVM-P8]") {
  Machine m;
  const auto refused = [](const Outcome& outcome) {
    CHECK(outcome.status == MVM_ERR_INVALID);
    CHECK_FALSE(outcome.error.empty());
  };
  const Call boot;
  m.hv().boot(garbage, boot.completion());
  refused(boot.wait());
  m.start();
  const Call stop, connect, share;
  m.hv().stop(garbage, stop.completion());
  refused(stop.wait());
  m.hv().vsock_connect(garbage, connect.fd_completion());
  refused(connect.wait());
  m.hv().share_dir(garbage, share.completion());
  refused(share.wait());
  CHECK(m.list().vms_size() == 1);
}

TEST_CASE("a request's bytes may be gone as soon as the call has returned", "[contract][MVM-P6][MVM-H5]") {
  Machine m;
  const auto scribbled = [](auto&& call, std::string bytes) {
    call(bytes);
    std::fill(bytes.begin(), bytes.end(), '\xff');
  };
  const Call boot;
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) (*spec.mutable_options())["boot-delay"] = "20";
  scribbled([&](Bytes b) { m.hv().boot(b, boot.completion()); }, spec.SerializeAsString());
  REQUIRE(boot.wait().status == MVM_OK);
  REQUIRE(m.list().vms_size() == 1);
  CHECK(m.list().vms(0).name() == "demo");
  v1::StopRequest request;
  request.set_name("demo");
  request.set_force(true);
  const Call stop;
  scribbled([&](Bytes b) { m.hv().stop(b, stop.completion()); }, request.SerializeAsString());
  CHECK(stop.wait().status == MVM_OK);
}

TEST_CASE("a call in the wrong state is answered busy and never reaches the plugin", "[contract][MVM-H3]") {
  Machine m;
  const auto reached = [&](const std::string& call) {
    const auto calls = m.calls();
    return std::count(calls.begin(), calls.end(), call);
  };
  CHECK(m.connect(7).status == MVM_ERR_BUSY);
  CHECK(m.share("tag", "/tmp", true).status == MVM_ERR_BUSY);
  CHECK(reached("vsock_connect") == 0);
  CHECK(reached("share_dir") == 0);
  m.start();
  CHECK(m.boot(m.spec()).status == MVM_ERR_BUSY);
  CHECK(reached("boot") == 1);
}

TEST_CASE("destroy answers a boot that is under way", "[contract][MVM-P10]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  if (m.has_option("boot-delay")) (*spec.mutable_options())["boot-delay"] = "600000";
  const Call boot;
  m.hv().boot(spec.SerializeAsString(), boot.completion());
  m.destroy();
  REQUIRE(boot.answered());
  const mvm_status status = boot.wait().status;
  CHECK((status == MVM_OK || status == MVM_ERR_CANCELLED));
  check_no_rule_was_broken(m);
}

TEST_CASE("destroy answers every other open call too", "[contract][MVM-P10]") {
  Machine m;
  NEEDS("option hang", m.has_option("hang"));
  const std::string verb = GENERATE(as<std::string>(), "boot", "stop", "vsock_connect", "share_dir");
  const Call call;
  v1::VmSpec spec = m.spec();
  (*spec.mutable_options())["hang"] = verb;
  if (verb == "boot") {
    m.hv().boot(spec.SerializeAsString(), call.completion());
  } else {
    REQUIRE(m.boot(spec).status == MVM_OK);
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
  CHECK_FALSE(call.answered());
  m.destroy();
  REQUIRE(call.answered());
  CHECK(call.wait().status == MVM_ERR_CANCELLED);
  check_no_rule_was_broken(m);
}

TEST_CASE("destroy takes a running VM down, and with it the instance's threads and files", "[contract][MVM-P10]") {
  const size_t before = open_fds();
  {
    Machine m;
    m.start();
    m.destroy();
    CHECK(m.console().wait_for_end());
  }
  CHECK(open_fds() <= before + 1);  // the host's own log
}

TEST_CASE("the guest's console reaches the host, with the kernel's command line", "[contract]") {
  Machine m;
  v1::VmSpec spec = m.spec();
  spec.set_cmdline(spec.cmdline() + " mvm.contract=4711");
  REQUIRE(m.boot(spec).status == MVM_OK);
  CHECK(m.console().wait_for("mvm.contract=4711"));
  REQUIRE(m.stop(true).status == MVM_OK);
  CHECK(m.console().wait_for_end());
}

TEST_CASE("a console that floods holds nobody up", "[contract]") {
  Machine m;
  NEEDS("option console-lines", m.has_option("console-lines"));
  m.start({{"console-lines", "200000"}});
  CHECK(m.console().wait_for("console line 200000\r\n"));
  CHECK(m.stop(false).status == MVM_OK);
}

TEST_CASE("a stop is told of as an exit by the host, once", "[contract][MVM-P11]") {
  Machine m;
  m.start();
  REQUIRE(m.stop(true).status == MVM_OK);
  const auto exited = m.wait_for_exit();
  REQUIRE(exited);
  CHECK(exited->reason() == v1::EXIT_REASON_HOST_STOP);
  m.destroy();
  CHECK(m.events() == 1);
}

TEST_CASE("a guest that ends by itself is told of with its reason, and nothing after", "[contract][MVM-P11]") {
  struct Case {
    const char* option;
    v1::ExitReason reason;
    const char* on_console;
  };
  const Case c = GENERATE(Case{"exit-after", v1::EXIT_REASON_GUEST_SHUTDOWN, "Power down"},
                          Case{"reset-after", v1::EXIT_REASON_GUEST_RESET, "Restarting system"},
                          Case{"panic-after", v1::EXIT_REASON_GUEST_PANIC, "Kernel panic - not syncing: "});
  Machine m;
  NEEDS("options exit-after, reset-after, panic-after", m.has_option(c.option));
  m.start({{c.option, "10"}});
  const auto exited = m.wait_for_exit();
  REQUIRE(exited);
  CHECK(exited->reason() == c.reason);
  CHECK_FALSE(exited->detail().empty());
  CHECK(m.console().wait_for(c.on_console));
  CHECK(m.console().wait_for_end());
  CHECK(m.list().vms_size() == 0);
  CHECK(m.stop(false).status == MVM_ERR_NOT_FOUND);
  m.destroy();
  CHECK(m.events() == 1);
}

TEST_CASE("a VM that is booted fifty times leaks no file", "[contract][MVM-P5]") {
  Machine m;
  NEEDS("a guest that boots at once (option boot-delay)", m.has_option("boot-delay"));
  const auto round = [&] {
    m.start();
    if (const auto port = subject().service("echo")) m.open_stream(*port);
    REQUIRE(m.stop(true).status == MVM_OK);
    REQUIRE(m.console().wait_for_end());
  };
  round();
  const size_t before = open_fds();
  for (int n = 0; n < 50; ++n) round();
  CHECK(open_fds() <= before + 1);  // the last console's reader may be about to close its end
  check_no_rule_was_broken(m);
}

TEST_CASE("list and connect may be called from many threads while the VM runs", "[contract][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
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
  CHECK(connected == 100);
  check_no_rule_was_broken(m);
}
