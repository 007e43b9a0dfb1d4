// SPDX-License-Identifier: Apache-2.0
// A guest of scripts/make-guest in a plain QEMU: no plugin, no host, no KVM.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "e2e/support/process.hpp"

namespace mvm::test {

// A boot takes 3 s on an idle machine; tests run on busy ones.
inline constexpr std::chrono::seconds vm_deadline{180};

class Vm {
 public:
  // guest: a directory with a kernel, an initramfs and a rootfs, which is not written to.
  Vm(const std::string& guest, const std::string& cmdline);

  void wait_for(std::string_view text);  // on the console; throws with all of it when the text does not come
  std::string console() const;           // so far
  void press_power_button();
  void wait_for_event(std::string_view event);  // of QMP
  void quit();
  int wait();  // until QEMU ends: its exit code
  std::string events() const { return process_.out(); }
  // Why QEMU ended, in QMP's words: guest-shutdown, guest-reset, guest-panic, host-qmp-quit.
  std::string reason() const;

 private:
  void execute(std::string_view command);
  Process process_;
};

}  // namespace mvm::test
