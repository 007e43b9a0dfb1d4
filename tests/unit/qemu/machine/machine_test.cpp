// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.hpp"

#include <sys/types.h>
#include <csignal>

#include "support/catch.hpp"
#include "vm_for_test.hpp"

using namespace mvm;
using namespace mvm::test;
using std::chrono::milliseconds;

TEST_CASE("a VM boots when QEMU lets it run, is listed with its process, and ends when it is told to") {
  TestVm vm;
  const Outcome booted = vm.boot();
  REQUIRE(booted.error == "");
  const auto info = parse<v1::VmInfo>(booted.reply);
  CHECK(info.name() == "demo");
  CHECK(info.state() == v1::VM_STATE_RUNNING);
  CHECK(info.hypervisor_pid() > 0);
  CHECK(vm.stop(true).status == MVM_OK);
  CHECK(::kill(static_cast<pid_t>(info.hypervisor_pid()), 0) == -1);
  REQUIRE(vm.host.wait_for_exit());
  CHECK(vm.host.wait_for_exit()->reason() == v1::EXIT_REASON_HOST_STOP);
  CHECK(vm.host.events() == 1);
  CHECK(vm.table.list().vms_size() == 0);
}

TEST_CASE("a guest that shuts down when asked ends as the host's stop") {
  TestVm vm;
  vm.start();
  CHECK(vm.stop(false).status == MVM_OK);
  CHECK(vm.host.wait_for_exit()->reason() == v1::EXIT_REASON_HOST_STOP);
  CHECK(vm.host.wait_for_exit()->detail() == "the guest shut down when asked");
}

TEST_CASE("a guest that ignores the power button runs on after its time, and a forced stop ends it") {
  TestVm vm("ignores-powerdown");
  vm.start();
  const Outcome graceful = vm.stop(false, milliseconds(50));
  CHECK(graceful.status == MVM_ERR_DEADLINE);
  CHECK(graceful.error == "vm demo: the guest did not shut down in time");
  CHECK(vm.state() == v1::VM_STATE_RUNNING);
  CHECK(vm.stop(true).status == MVM_OK);
}

TEST_CASE("a guest that was not listening yet hears the power button the second time") {
  TestVm vm("hears-second-press");
  vm.start();
  CHECK(vm.stop(false).status == MVM_OK);
}

TEST_CASE("a QEMU that does not quit is killed") {
  TestVm vm("ignores-powerdown ignores-quit");
  vm.start();
  CHECK(vm.stop(true).status == MVM_OK);
  CHECK(vm.host.wait_for_exit()->reason() == v1::EXIT_REASON_HOST_STOP);
}

TEST_CASE("two stops of one VM both end well, and the guest's end is told of once") {
  TestVm vm("ignores-powerdown");
  vm.start();
  const Call graceful;
  vm.on_loop([done = graceful.completion()](qemu::Machine& m) { m.stop(false, milliseconds(15000), done); });
  CHECK(vm.stop(true).status == MVM_OK);
  CHECK(graceful.wait().status == MVM_OK);
  CHECK(vm.host.events() == 1);
}

TEST_CASE("a guest's end is told of with its reason") {
  struct Case {
    const char* behaviour;
    v1::ExitReason reason;
    const char* words;
  };
  const Case c = GENERATE(
      Case{"powers-off", v1::EXIT_REASON_GUEST_SHUTDOWN, "the guest powered itself off"},
      Case{"resets", v1::EXIT_REASON_GUEST_RESET, "the guest reset itself"},
      Case{"panics", v1::EXIT_REASON_GUEST_PANIC, "the guest's kernel panicked"},
      Case{"is-killed", v1::EXIT_REASON_KILLED, "fake-qemu: was killed by SIGKILL"},
      Case{"crashes", v1::EXIT_REASON_ERROR, "fake-qemu: was killed by SIGABRT"},
      Case{"told-to-end", v1::EXIT_REASON_KILLED, "fake-qemu: was told to end by a signal"},
      Case{"stumbles", v1::EXIT_REASON_ERROR, "fake-qemu: could not run the guest any further: internal-error"},
      Case{"babbles", v1::EXIT_REASON_ERROR, "fake-qemu: sent something over its control connection that is not QMP"});
  TestVm vm(c.behaviour);
  vm.start();
  const auto exited = vm.host.wait_for_exit();
  REQUIRE(exited);
  CHECK(exited->reason() == c.reason);
  CHECK_THAT(exited->detail(), StartsWith(c.words));
  CHECK(vm.host.events() == 1);
  CHECK(vm.table.list().vms_size() == 0);
}

TEST_CASE("a QEMU that does not come up fails the boot with its own words, and no event") {
  struct Case {
    const char* behaviour;
    mvm_status status;
    const char* words;
  };
  const Case c = GENERATE(
      Case{"dies", MVM_ERR_BUSY, "disk /images/a.img: is in use by another process; stop that one first"},
      Case{"mute", MVM_ERR_INTERNAL, "fake-qemu: did not answer over its control connection within 1 s"},
      Case{"garbage", MVM_ERR_INTERNAL, "fake-qemu: sent something over its control connection that is not QMP"},
      Case{"endless", MVM_ERR_INTERNAL, "fake-qemu: sent something over its control connection that is not QMP"},
      Case{"closes-qmp", MVM_ERR_INTERNAL, "fake-qemu: closed its control connection (QMP)"},
      Case{"refuses-qmp_capabilities", MVM_ERR_INTERNAL, "fake-qemu: refused to negotiate over its control connection"},
      Case{"refuses-cont", MVM_ERR_INTERNAL, "vm demo: QEMU does not let it run: cont is not for you"},
      Case{"old", MVM_ERR_INTERNAL, "fake-qemu: is version 6.1; this takes 6.2 or newer"});
  TestVm vm(c.behaviour);
  const Outcome failed = vm.boot();
  CHECK(failed.status == c.status);
  CHECK_THAT(failed.error, StartsWith(c.words));
  CHECK(vm.host.events() == 0);
  CHECK(vm.table.list().vms_size() == 0);
}

TEST_CASE("a program that cannot be started fails the boot by its path") {
  TestVm vm;
  vm.machine = std::make_shared<qemu::Machine>(vm.ground, qemu::Plan{vm.spec, {}, "/nonexistent/qemu", {}});
  const Outcome failed = vm.call([](qemu::Machine& m, const Completion& done) { m.boot(done); });
  CHECK(failed.status == MVM_ERR_NOT_FOUND);
  CHECK_THAT(failed.error, StartsWith("/nonexistent/qemu: "));
}

TEST_CASE("a stop overtakes a boot, which is then cancelled") {
  TestVm vm("mute");
  vm.machine = std::make_shared<qemu::Machine>(vm.ground, qemu::Plan{vm.spec, {}, MVM_FAKE_QEMU, {}});
  const Call boot;
  vm.on_loop([done = boot.completion()](qemu::Machine& m) { m.boot(done); });
  CHECK(vm.stop(true).status == MVM_OK);
  CHECK(boot.wait().status == MVM_ERR_CANCELLED);
  CHECK(vm.host.events() == 0);
}

TEST_CASE("a guest is held and let go, and a stop is heard by one that was held") {
  TestVm vm;
  vm.start();
  const auto pause = [](qemu::Machine& m, const Completion& done) { m.pause(done); };
  const auto resume = [](qemu::Machine& m, const Completion& done) { m.resume(done); };
  CHECK(vm.call(pause).status == MVM_OK);
  CHECK(vm.call(pause).status == MVM_OK);
  CHECK(vm.state() == v1::VM_STATE_PAUSED);
  CHECK(vm.call(resume).status == MVM_OK);
  CHECK(vm.state() == v1::VM_STATE_RUNNING);
  CHECK(vm.call(pause).status == MVM_OK);
  CHECK(vm.stop(false).status == MVM_OK);
}

TEST_CASE("a share where none can be is unsupported, for the reason that was found") {
  TestVm vm;
  vm.start();
  v1::Share share;
  share.set_tag("work");
  share.set_path(vm.dir.path());
  const Outcome refused = vm.call([share](qemu::Machine& m, const Completion& done) { m.share(share, done); });
  CHECK(refused.status == MVM_ERR_UNSUPPORTED);
  const Outcome unknown = vm.call([](qemu::Machine& m, const Completion& done) { m.unshare("work", done); });
  CHECK(unknown.status == MVM_ERR_NOT_FOUND);
  CHECK(unknown.error == "share work: no such tag is shared");
}

TEST_CASE("KVM is refused with what to do where its device is not there") {
  TestVm vm;
  vm.options.accelerator = qemu::AcceleratorWish::kvm;
  const Outcome refused = vm.boot();
  CHECK(refused.status == MVM_ERR_UNSUPPORTED);
  CHECK_THAT(refused.error, StartsWith("option accel: kvm: " + vm.dir.path() + "/no-kvm: is not there; "));
}

TEST_CASE("a machine that goes while KVM is tried leaves nobody waiting") {
  TestVm vm;
  write_file(vm.dir / "kvm", "");
  vm.ground.accelerators.kvm_device = vm.dir / "kvm";
  vm.ground.accelerators.limit = std::chrono::seconds(15);
  vm.machine = std::make_shared<qemu::Machine>(vm.ground, qemu::Plan{vm.spec, {}, MVM_FAKE_QEMU, {}});
  const Call boot;
  vm.on_loop([done = boot.completion()](qemu::Machine& m) { m.boot(done); });
  CHECK(vm.stop(true).status == MVM_OK);
  CHECK(boot.wait().status == MVM_ERR_CANCELLED);
}
