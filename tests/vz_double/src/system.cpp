// SPDX-License-Identifier: Apache-2.0
// The macOS that is pretended.
#include "system.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../include/vz_double.h"

namespace mvm::vz_double {
namespace {

// "macOS 13.0", "13.0", "13": as 1300.
int number_of(const char* text) {
  while (*text != '\0' && (*text < '0' || *text > '9')) ++text;
  int major = 0;
  int minor = 0;
  if (std::sscanf(text, "%d.%d", &major, &minor) < 1) {
    std::fprintf(stderr, "vz_double: \"%s\" is not a version of macOS: write 13.0\n", text);
    std::abort();
  }
  return major * 100 + minor;
}

int initial() {
  const char* said = std::getenv("MVM_VZ_DOUBLE_MACOS");
  return number_of(said != nullptr ? said : "15.0");
}

std::atomic<int>& pretended() {
  static std::atomic<int> version{initial()};
  return version;
}

}  // namespace

void need_system(const char* version, const char* subject) {
  if (vz_double_system_is_at_least(version) != 0) return;
  std::fprintf(stderr, "vz_double: %s: macOS %s introduced it, and an older one is pretended\n", subject, version);
  std::abort();
}

}  // namespace mvm::vz_double

void vz_double_set_system(const char* version) { mvm::vz_double::pretended() = mvm::vz_double::number_of(version); }

int vz_double_system_is_at_least(const char* platform_and_version) {
  return mvm::vz_double::pretended() >= mvm::vz_double::number_of(platform_and_version) ? 1 : 0;
}
