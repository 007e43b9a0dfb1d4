// SPDX-License-Identifier: Apache-2.0
// The guest of scripts/make-guest, booted.
#include <chrono>
#include <string>

#include "guest/vm.hpp"
#include "support/catch.hpp"

using namespace mvm::test;
using Clock = std::chrono::steady_clock;

namespace {

const std::string plain = MVM_TEST_GUESTS "/plain";
const std::string checked = MVM_TEST_GUESTS "/checked";
constexpr const char* ready = "mvm-guest: ready\r\n";

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("a guest says ready once, and its power button ends it at once and cleanly", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda rw");
  vm.wait_for(ready);
  const auto pressed = Clock::now();
  vm.press_power_button();
  CHECK(vm.wait() == 0);
  CHECK(Clock::now() - pressed < std::chrono::seconds(10));  // 0.1 s, where nothing else runs
  CHECK(vm.reason() == "guest-shutdown");
  CHECK(count(vm.console(), "mvm-guest: ready") == 1);
  CHECK(count(vm.console(), "mvm-guest: ") == 1);
}

TEST_CASE("a guest without a root= runs from its initramfs", "[guest][boot]") {
  Vm vm(plain, "mvm.test=poweroff");
  vm.wait_for(ready);
  CHECK(vm.wait() == 0);
  CHECK(vm.reason() == "guest-shutdown");
}

TEST_CASE("a guest boots from a disk that is read-only, and found by its label", "[guest][boot]") {
  Vm vm(plain, "root=LABEL=mvm-guest ro mvm.test=poweroff");
  vm.wait_for(ready);
  CHECK(vm.wait() == 0);
  CHECK(vm.reason() == "guest-shutdown");
}

TEST_CASE("a guest that is told to panic does, and its host hears of it", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda mvm.test=panic");
  vm.wait_for(ready);
  vm.wait_for_event("GUEST_PANICKED");
  vm.wait();
  CHECK(vm.reason() == "guest-panic");
  CHECK_THAT(vm.console(), ContainsSubstring("Kernel panic - not syncing: sysrq triggered crash"));
}

TEST_CASE("a guest that is told to reboot does", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda mvm.test=reboot");
  vm.wait_for(ready);
  CHECK(vm.wait() == 0);
  CHECK(vm.reason() == "guest-reset");
}

TEST_CASE("a guest that is told to ignore its power button goes on", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda mvm.test=ignore-power-button");
  vm.wait_for(ready);
  vm.press_power_button();
  vm.wait_for_event("POWERDOWN");
  vm.press_power_button();
  vm.quit();  // whatever the presses did, they did before
  CHECK(vm.wait() == 0);
  CHECK(vm.reason() == "host-qmp-quit");
}

TEST_CASE("a guest whose init is missing panics, and its console says why", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda init=/nowhere");
  vm.wait_for_event("GUEST_PANICKED");
  vm.wait();
  CHECK_THAT(vm.console(), ContainsSubstring("mvm-guest: init=/nowhere: there is none in root=/dev/vda"));
  CHECK_THAT(vm.console(), ContainsSubstring("Attempted to kill init"));
}

TEST_CASE("a guest whose init cannot be executed panics, and its console says why", "[guest][boot]") {
  Vm vm(plain, "root=/dev/vda init=/etc");
  vm.wait_for_event("GUEST_PANICKED");
  vm.wait();
  CHECK_THAT(vm.console(), ContainsSubstring("can't execute '/etc'"));
  CHECK_THAT(vm.console(), ContainsSubstring("Attempted to kill init"));
}

TEST_CASE("what a guest serves over vsock answers, as does what else was put into it", "[guest][boot]") {
  Vm vm(checked, "root=/dev/vda rw mvm.hostname=box check=own");
  vm.wait_for(ready);
  const std::string console = vm.console();
  INFO(console);
  CHECK_THAT(console, ContainsSubstring("check: echo hello\n"));
  CHECK_THAT(console, ContainsSubstring("check: much 2097152\n"));
  CHECK_THAT(console, ContainsSubstring("check: discard <>\n"));
  CHECK_THAT(console, ContainsSubstring("check: shell Linux late not found\n"));
  CHECK_THAT(console, ContainsSubstring("check: shells 10 and 10 of 10 whole\n"));  // that failed, that were killed
  CHECK_THAT(console, ContainsSubstring("check: web HTTP/1.1 200 OK"));
  CHECK_THAT(console, ContainsSubstring("Hello from the guest box"));
  CHECK_THAT(console, ContainsSubstring("check: refused Connection reset by peer\n"));
  CHECK_THAT(console, ContainsSubstring("check: jq 42\n"));
  CHECK_THAT(console, ContainsSubstring("check: owner 0:0 755\n"));
}

TEST_CASE("the contract guest serves in a guest what it serves on Unix sockets", "[guest][boot]") {
  Vm vm(checked, "root=/dev/vda rw check=contract");
  vm.wait_for(ready);
  const std::string console = vm.console();
  INFO(console);
  CHECK_THAT(console, ContainsSubstring("check: echo hello\n"));
  CHECK_THAT(console, ContainsSubstring("check: pattern  !\"#$%&'()\n"));
  CHECK_THAT(console, ContainsSubstring("check: agent \"Pong\"\n"));
  CHECK_THAT(console, ContainsSubstring("check: shares OK 0\n"));
  CHECK_THAT(console, ContainsSubstring("check: dial ERR refused\n"));
  CHECK_THAT(console, ContainsSubstring("check: shell Linux\n"));
  CHECK_THAT(console, ContainsSubstring("check: listens OK, and echoes\n"));
  CHECK_THAT(console, ContainsSubstring("from the command port\n"));
}
