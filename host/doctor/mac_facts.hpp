// SPDX-License-Identifier: Apache-2.0
// What decides on a Mac whether a VM can be run by this executable, and what is to be said of it. Apart from how the
// facts are had, so that every answer is tried on any system.
#pragma once

#include <filesystem>

#include "doctor/findings.hpp"

namespace mvm::host {

struct MacFacts {
  int major = 0;  // of macOS
  int minor = 0;
  bool virtualization_hardware = false;  // sysctl kern.hv_support

  // Of the running executable (Security.framework, SecCodeCopySigningInformation).
  bool may_virtualize = false;     // com.apple.security.virtualization
  bool hardened_runtime = false;   // kSecCodeSignatureRuntime
  bool loads_any_library = false;  // com.apple.security.cs.disable-library-validation

  std::filesystem::path executable;
  std::filesystem::path entitlements;  // the file that is installed for signing
};

Findings judge_mac(const MacFacts& facts);

}  // namespace mvm::host
