// SPDX-License-Identifier: Apache-2.0
// Extension mvm.pause/1.
#include "check/check.hpp"
#include "check/running_vm.hpp"
#include "check/stream.hpp"
#include "mvm/ext/pause.h"

namespace mvm::host::check {
namespace {

MVM_PLUGIN_CHECK("a paused VM is listed so, keeps its connections, and answers nobody until it is resumed", "pause", "",
                 shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  MVM_SKIP_UNLESS("extension mvm.pause/1 and service echo", m.has_extension(MVM_EXT_PAUSE) && port);
  const UniqueFd fd = m.open_stream(*port);
  MVM_REQUIRE(m.pause().error == "");
  MVM_EXPECT(m.list().vms(0).state() == v1::VM_STATE_PAUSED);
  write_all(fd.get(), "said meanwhile");
  MVM_EXPECT(!(readable_within(fd.get(), 200)));
  MVM_EXPECT(m.connect(*port, 100).status == MVM_ERR_DEADLINE);
  MVM_REQUIRE(m.resume().error == "");
  MVM_EXPECT(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  MVM_EXPECT(read_exactly(fd.get(), 14) == "said meanwhile");
  MVM_EXPECT(m.connect(*port, 5000).status == MVM_OK);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a VM that is paused or runs may be paused or resumed once more", "pause", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  MVM_SKIP_UNLESS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  MVM_EXPECT(m.resume().status == MVM_OK);
  for (int n = 0; n < 2; ++n) MVM_EXPECT(m.pause().status == MVM_OK);
  for (int n = 0; n < 2; ++n) MVM_EXPECT(m.resume().status == MVM_OK);
}

MVM_PLUGIN_CHECK("a forced stop ends a VM that is paused", "pause", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  m.start();
  MVM_REQUIRE(m.pause().status == MVM_OK);
  MVM_EXPECT(m.stop(true).status == MVM_OK);
  MVM_EXPECT(m.list().vms_size() == 0);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("pause and resume take a running VM and a request that is one", "pause", "MVM-P8", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  MVM_EXPECT(m.pause().status == MVM_ERR_BUSY);
  MVM_EXPECT(m.resume().status == MVM_ERR_BUSY);
  m.start();
  const Call pause, resume;
  m.hv().pause(garbage, pause.completion());
  MVM_EXPECT(pause.wait().status == MVM_ERR_INVALID);
  m.hv().resume(garbage, resume.completion());
  MVM_EXPECT(resume.wait().status == MVM_ERR_INVALID);
}

MVM_PLUGIN_CHECK("what a guest does by itself waits until it is resumed", "pause", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("extension mvm.pause/1 and option exit-after",
                  m.has_extension(MVM_EXT_PAUSE) && m.has_option("exit-after"));
  m.start({{"exit-after", "300"}});
  MVM_REQUIRE(m.pause().status == MVM_OK);
  MVM_EXPECT(!m.exits_within(std::chrono::milliseconds(500)));
  MVM_REQUIRE(m.resume().status == MVM_OK);
  const auto exited = m.wait_for_exit();
  MVM_REQUIRE(exited.has_value());
  MVM_EXPECT(exited->reason() == v1::EXIT_REASON_GUEST_SHUTDOWN);
}

}  // namespace

void link_pause_checks() {}

}  // namespace mvm::host::check
