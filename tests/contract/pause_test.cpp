// SPDX-License-Identifier: Apache-2.0
// Extension mvm.pause/1.
#include "mvm/ext/pause.h"
#include "contract/support/needs.hpp"
#include "contract/support/running_vm.hpp"
#include "contract/support/stream.hpp"

using namespace mvm;
using namespace mvm::test;

TEST_CASE("a paused VM is listed so, keeps its connections, and answers nobody until it is resumed",
          "[contract][pause][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("extension mvm.pause/1 and service echo", m.has_extension(MVM_EXT_PAUSE) && port);
  const UniqueFd fd = m.open_stream(*port);
  REQUIRE(m.pause().error == "");
  CHECK(m.list().vms(0).state() == v1::VM_STATE_PAUSED);
  write_all(fd.get(), "said meanwhile");
  CHECK_FALSE(readable_within(fd.get(), 200));
  CHECK(m.connect(*port, 100).status == MVM_ERR_DEADLINE);
  REQUIRE(m.resume().error == "");
  CHECK(m.list().vms(0).state() == v1::VM_STATE_RUNNING);
  CHECK(read_exactly(fd.get(), 14) == "said meanwhile");
  CHECK(m.connect(*port, 5000).status == MVM_OK);
  check_no_rule_was_broken(m);
}

TEST_CASE("a VM that is paused or runs may be paused or resumed once more", "[contract][pause][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  NEEDS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  CHECK(m.resume().status == MVM_OK);
  for (int n = 0; n < 2; ++n) CHECK(m.pause().status == MVM_OK);
  for (int n = 0; n < 2; ++n) CHECK(m.resume().status == MVM_OK);
}

TEST_CASE("a forced stop ends a VM that is paused", "[contract][pause]") {
  Machine m;
  NEEDS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  m.start();
  REQUIRE(m.pause().status == MVM_OK);
  CHECK(m.stop(true).status == MVM_OK);
  CHECK(m.list().vms_size() == 0);
  check_no_rule_was_broken(m);
}

TEST_CASE("pause and resume take a running VM and a request that is one", "[contract][pause][MVM-P8]") {
  Machine m;
  NEEDS("extension mvm.pause/1", m.has_extension(MVM_EXT_PAUSE));
  CHECK(m.pause().status == MVM_ERR_BUSY);
  CHECK(m.resume().status == MVM_ERR_BUSY);
  m.start();
  const Call pause, resume;
  m.hv().pause(garbage, pause.completion());
  CHECK(pause.wait().status == MVM_ERR_INVALID);
  m.hv().resume(garbage, resume.completion());
  CHECK(resume.wait().status == MVM_ERR_INVALID);
}

TEST_CASE("what a guest does by itself waits until it is resumed", "[contract][pause]") {
  Machine m;
  NEEDS("extension mvm.pause/1 and option exit-after", m.has_extension(MVM_EXT_PAUSE) && m.has_option("exit-after"));
  m.start({{"exit-after", "300"}});
  REQUIRE(m.pause().status == MVM_OK);
  CHECK_FALSE(m.exits_within(std::chrono::milliseconds(500)));
  REQUIRE(m.resume().status == MVM_OK);
  const auto exited = m.wait_for_exit();
  REQUIRE(exited);
  CHECK(exited->reason() == v1::EXIT_REASON_GUEST_SHUTDOWN);
}
