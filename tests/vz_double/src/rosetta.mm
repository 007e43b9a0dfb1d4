// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include "faults.hpp"
#include "system.hpp"

using mvm::vz_double::error;
using mvm::vz_double::fail;
using mvm::vz_double::faults;

@implementation VZLinuxRosettaDirectoryShare
+ (VZLinuxRosettaAvailability)availability {
  mvm::vz_double::need_system("13.0", "+[VZLinuxRosettaDirectoryShare availability]");
  return static_cast<VZLinuxRosettaAvailability>(faults().rosetta);
}

- (instancetype)initWithError:(NSError **)problem {
  mvm::vz_double::need_system("13.0", "VZLinuxRosettaDirectoryShare");
  if (VZLinuxRosettaDirectoryShare.availability != VZLinuxRosettaAvailabilityInstalled) {
    fail(problem, error(VZErrorInvalidVirtualMachineConfiguration, @"Rosetta is not installed."));
    return nil;
  }
  return [super initCounted];
}

+ (void)installRosettaWithCompletionHandler:(void (^)(NSError *))completionHandler {
  mvm::vz_double::need_system("13.0", "+[VZLinuxRosettaDirectoryShare installRosettaWithCompletionHandler:]");
  const bool can = faults().rosetta != mvm::vz_double::Rosetta::not_supported;
  NSError *problem = can ? nil : error(VZErrorNotSupported, @"Rosetta is not supported.");
  dispatch_async(dispatch_queue_create("rosetta", DISPATCH_QUEUE_SERIAL), ^{
    completionHandler(problem);
  });
}
@end
