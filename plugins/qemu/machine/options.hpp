// SPDX-License-Identifier: Apache-2.0
// VmSpec.options: what can be said to this plugin alone.
#pragma once

#include <string>
#include <vector>

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::qemu {

enum class AcceleratorWish { automatic, kvm, tcg };

struct Options {
  AcceleratorWish accelerator = AcceleratorWish::automatic;
  std::string qemu;            // absolute path; empty: the one that is found
  std::string virtiofsd;       // absolute path; empty: the one that is found
  bool backing_files = false;  // whether a qcow2 image may name further files
};

// Throws mvm::Error, MVM_ERR_INVALID: an unknown key (names the valid ones), or a value that is none.
Options parse_options(const google::protobuf::Map<std::string, std::string>& options);

// For HypervisorInfo.options.
std::vector<v1::OptionInfo> describe_options();

}  // namespace mvm::qemu
