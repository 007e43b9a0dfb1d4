// SPDX-License-Identifier: Apache-2.0
// VmSpec.options: what can be said to this plugin alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bridge/machine_plan.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::apple_vz {

struct DiskOptions {
  std::optional<Caching> caching;
  std::optional<Synchronization> synchronization;
};

struct Options {
  DiskOptions all_disks;
  std::map<size_t, DiskOptions> disks;  // by their place in VmSpec.disks
  bool nested = false;
  bool rosetta = false;
};

// Throws mvm::Error, MVM_ERR_INVALID: an unknown key (names the valid ones), or a value that is none.
Options parse_options(const google::protobuf::Map<std::string, std::string>& options);

// Puts them to the disks of the plan. Throws mvm::Error, MVM_ERR_INVALID: an option for a disk that is not there.
void apply(const Options& options, std::vector<DiskPlan>& disks);

// For HypervisorInfo.options.
std::vector<v1::OptionInfo> describe_options();

}  // namespace mvm::apple_vz
