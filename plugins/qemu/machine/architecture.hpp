// SPDX-License-Identifier: Apache-2.0
// Whose code the guest runs: always the host's own kind.
#pragma once

#include <string_view>

namespace mvm::qemu {

enum class Architecture { x86_64, arm64 };

constexpr Architecture host_architecture() {
#if defined(__x86_64__)
  return Architecture::x86_64;
#elif defined(__aarch64__)
  return Architecture::arm64;
#else
#error "this plugin knows x86-64 and arm64 hosts"
#endif
}

constexpr std::string_view name_of(Architecture a) { return a == Architecture::x86_64 ? "x86-64" : "arm64"; }

// The name of QEMU's program, as distributions call it.
constexpr std::string_view program_name(Architecture a) {
  return a == Architecture::x86_64 ? "qemu-system-x86_64" : "qemu-system-aarch64";
}

// What the kernel calls the serial port that is the guest's console.
constexpr std::string_view console_device(Architecture a) { return a == Architecture::x86_64 ? "ttyS0" : "ttyAMA0"; }

}  // namespace mvm::qemu
