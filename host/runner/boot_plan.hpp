// SPDX-License-Identifier: Apache-2.0
// From what the user asked for and what the record remembers to what the hypervisor is told. Nothing here changes
// anything on disk.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/vm_store.hpp"

#include "mvm/host/control.pb.h"
#include "mvm/host/record.pb.h"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host {

// The record for this boot: `request` over `previous` (absent: a new VM), defaults below both. Errors (invalid): no
// kernel, another hypervisor than the record's, another disk without --fresh, no hypervisor to be had.
// default_hypervisor: used where neither says; may be empty.
Result<pb::VmRecord> plan_boot(const std::optional<pb::VmRecord>& previous, const pb::BootRequest& request,
                               const std::string& default_hypervisor);

// The disk that the VM boots from.
struct RootfsPlan {
  std::filesystem::path file;                      // its own clone or overlay, the image itself, or empty
  std::filesystem::path base;                      // the image that `file` is laid over; empty: `file` is all of it
  bool is_new = false;                             // its own, and yet to be made
  std::vector<std::filesystem::path> left_behind;  // by another mode, before --fresh; of no use once the VM runs
};
RootfsPlan plan_rootfs(const pb::VmRecord& record, const VmPaths& paths, bool fresh);

// Looks at everything that the plan names in the file system and puts in what follows from it: share paths resolved,
// tags filled in, formats of disks that were given now. Errors (invalid) name the option's value and what is wrong with
// it.
Result<void> resolve_plan(pb::VmConfig& config, const RootfsPlan& rootfs, const VmStore& store);

// Whether a share of `path` (absolute) is let through: an existing directory, resolved; not "/", the user's home or
// what contains it, nor the state directory, what is in it or contains it; a tag of 1-35 bytes [A-Za-z0-9._-]. Fills in
// an empty tag with the directory's name.
Result<void> resolve_share(v1::Share& share, const VmStore& store);

// Whether the hypervisor can do what the plan asks: kernel format, cpus, memory, shares, disk formats, overlays.
Result<void> check_plan(const pb::VmConfig& config, const RootfsPlan& rootfs, const std::string& hypervisor,
                        const v1::HypervisorInfo& info);

// What boot is told. info: of the hypervisor that is told.
v1::VmSpec make_spec(const pb::VmRecord& record, const RootfsPlan& rootfs, const v1::HypervisorInfo& info);

}  // namespace mvm::host
