// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "internal.hpp"

NS_ASSUME_NONNULL_BEGIN
// For the devices, on the machine's queue.
@interface VZVirtualMachine (MvmDevices)
- (nullable mvm::vz_double::Machine*)vz_machine;
- (BOOL)vz_isUp;  // running or paused
@end
NS_ASSUME_NONNULL_END
