// SPDX-License-Identifier: Apache-2.0
#include "host_system.hpp"

#import <Foundation/Foundation.h>
#import <Virtualization/Virtualization.h>

#include "objc.hpp"

namespace mvm::apple_vz {

Limits framework_limits() {
  Limits limits;
  attempt_or_throw([&] {
    limits.min_cpus = static_cast<uint32_t>(VZVirtualMachineConfiguration.minimumAllowedCPUCount);
    limits.max_cpus = static_cast<uint32_t>(VZVirtualMachineConfiguration.maximumAllowedCPUCount);
    limits.min_memory_bytes = VZVirtualMachineConfiguration.minimumAllowedMemorySize;
    limits.max_memory_bytes = VZVirtualMachineConfiguration.maximumAllowedMemorySize;
  });
  return limits;
}

bool virtualization_is_supported() {
  bool supported = false;
  attempt_or_throw([&] { supported = VZVirtualMachine.isSupported; });
  return supported;
}

namespace {

#if defined(__arm64__) || !defined(__APPLE__)  // Apple declares it for arm64 alone
Availability installed_rosetta() {
  if (__builtin_available(macOS 13.0, *)) {
    switch (VZLinuxRosettaDirectoryShare.availability) {
      case VZLinuxRosettaAvailabilityInstalled:
        return Availability::available;
      case VZLinuxRosettaAvailabilityNotInstalled:
        return Availability::not_installed;
      default:
        return Availability::not_supported;
    }
  }
  return Availability::too_old;
}
#else
Availability installed_rosetta() { return Availability::not_supported; }
#endif

}  // namespace

Availability rosetta_availability() {
  Availability found = Availability::not_supported;
  attempt_or_throw([&] { found = installed_rosetta(); });
  return found;
}

Availability nested_availability() {
  Availability found = Availability::too_old;
  attempt_or_throw([&] {
    if (__builtin_available(macOS 15.0, *)) {
      found = VZGenericPlatformConfiguration.isNestedVirtualizationSupported ? Availability::available
                                                                             : Availability::not_supported;
    }
  });
  return found;
}

std::string new_machine_identifier() {
  std::string data;
  attempt_or_throw([&] {
    if (__builtin_available(macOS 13.0, *)) {
      NSData *bytes = [[VZGenericMachineIdentifier alloc] init].dataRepresentation;
      data.assign(static_cast<const char *>(bytes.bytes), bytes.length);
    }
  });
  return data;
}

bool is_machine_identifier(const std::string &data) {
  bool valid = false;
  attempt_or_throw([&] {
    if (__builtin_available(macOS 13.0, *)) {
      NSData *bytes = [NSData dataWithBytes:data.data() length:data.size()];
      valid = [[VZGenericMachineIdentifier alloc] initWithDataRepresentation:bytes] != nil;
    }
  });
  return valid;
}

bool is_share_name(const std::string &name, std::string &why_not) {
  const Problem problem = attempt([&] {
    NSError *error = nil;
    if ([VZMultipleDirectoryShare validateName:ns_string(name) error:&error]) return;
    throw FrameworkFailure(framework_error(error, "is no name that macOS can share a directory under"));
  });
  if (problem) why_not = problem->reason.empty() ? problem->description : problem->reason;
  return !problem;
}

}  // namespace mvm::apple_vz
