// SPDX-License-Identifier: Apache-2.0
// An image that overlays lie over must stay as it is: what a VM wrote over it is of no use over another.
#pragma once

#include "base/result.hpp"
#include "runner/boot_plan.hpp"
#include "store/vm_store.hpp"

#include "mvm/host/record.pb.h"

namespace mvm::host {

// Whether the image below an overlay is what it was when that was begun, by its size and time; notes them for a new one
// in the record. The image is locked, so that no VM writes it from then on. Errors: it is no file (invalid); it has
// changed, and with it all that the VM has not written itself (failed).
Result<void> check_base(pb::VmRecord& record, const RootfsPlan& rootfs);

// Whether what the VM is to write is an image that another VM's overlay lies over, running or not. The error (failed)
// names both.
Result<void> check_writes_no_base(const pb::VmRecord& record, const VmStore& store);

}  // namespace mvm::host
