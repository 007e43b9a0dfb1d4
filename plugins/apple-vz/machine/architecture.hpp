// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace mvm::apple_vz {

// Of this Mac, and so of its guests: the framework emulates nothing.
enum class Architecture { arm64, x86_64 };

constexpr Architecture host_architecture() {
#if defined(__aarch64__) || defined(__arm64__)
  return Architecture::arm64;
#else
  return Architecture::x86_64;
#endif
}

constexpr std::string_view name_of(Architecture architecture) {
  return architecture == Architecture::arm64 ? "arm64" : "x86-64";
}

}  // namespace mvm::apple_vz
