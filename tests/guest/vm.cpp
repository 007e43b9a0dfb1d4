// SPDX-License-Identifier: Apache-2.0
#include "guest/vm.hpp"

#include <stdexcept>

namespace mvm::test {
namespace {

// no_timer_check: where other processes keep QEMU from the processor for long enough, the kernel's trial of its timer
// fails, and it panics. cryptomgr.notests halves the work of a boot.
const std::string boot_options = "console=ttyS0 quiet panic=-1 no_timer_check cryptomgr.notests ";

// QMP on standard input and output, the console on standard error.
std::vector<std::string> command(const std::string& guest, const std::string& cmdline) {
  return {"qemu-system-x86_64",
          "-M",
          "q35",
          "-accel",
          "tcg",
          "-cpu",
          "max",
          "-m",
          "256",
          "-nodefaults",
          "-no-user-config",
          "-display",
          "none",
          "-no-reboot",
          "-kernel",
          guest + "/vmlinuz",
          "-initrd",
          guest + "/initramfs.img",
          "-append",
          boot_options + cmdline,

          "-chardev",
          "file,id=console,path=/dev/stderr",
          "-serial",
          "chardev:console",
          "-drive",
          "if=none,id=disk,format=raw,snapshot=on,file=" + guest + "/rootfs.ext4",
          "-device",
          "virtio-blk-pci,drive=disk",
          "-device",
          "virtio-rng-pci",
          "-device",
          "pvpanic-pci",
          "-qmp",
          "stdio"};
}

}  // namespace

Vm::Vm(const std::string& guest, const std::string& cmdline)
    : process_(command(guest, cmdline), {"PATH=/usr/bin:/bin"}) {
  execute("qmp_capabilities");
}

void Vm::execute(std::string_view command) { process_.write(R"({"execute":")" + std::string(command) + "\"}\n"); }

std::string Vm::console() const {
  std::string text;
  for (const char c : process_.err()) {
    if (c != '\r') text += c;
  }
  return text;
}

void Vm::wait_for(std::string_view text) {
  if (!process_.wait_err(text, vm_deadline)) {
    throw std::runtime_error("\"" + std::string(text) + "\" did not come. The console:\n" + console());
  }
}

void Vm::press_power_button() { execute("system_powerdown"); }
void Vm::quit() { execute("quit"); }

void Vm::wait_for_event(std::string_view event) {
  if (!process_.wait_out("\"event\": \"" + std::string(event) + "\"", vm_deadline)) {
    throw std::runtime_error("QMP did not say " + std::string(event) + ":\n" + events());
  }
}

int Vm::wait() { return process_.wait(vm_deadline).exit_code; }

std::string Vm::reason() const {
  const std::string key = "\"reason\": \"";
  const size_t event = events().rfind("\"event\": \"SHUTDOWN\"");
  const size_t begin = event == std::string::npos ? event : events().find(key, event);
  if (begin == std::string::npos) return "";
  return events().substr(begin + key.size(), events().find('"', begin + key.size()) - begin - key.size());
}

}  // namespace mvm::test
