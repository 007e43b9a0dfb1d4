// SPDX-License-Identifier: Apache-2.0
// What the double's classes have in common.
#pragma once
#import <Virtualization/Virtualization.h>

#include "alive.hpp"
#include "machine.hpp"

// The double makes its objects by an initialiser that Apple's users do not see.
#pragma clang diagnostic ignored "-Wobjc-designated-initializers"

NS_ASSUME_NONNULL_BEGIN

namespace mvm::vz_double {

// In VZErrorDomain. description: what users see; reason: why, where there is one.
NSError* error(VZErrorCode code, NSString* description, NSString* _Nullable reason = nil);
NSError* posix_error(int number);

// Puts it where the caller wants it, if he does. Returns NO.
BOOL fail(NSError* _Nullable* _Nullable to, NSError* what);

// As libdispatch's own assertion traps in the real one, this aborts: the selector is named. An exception would be
// caught, and the defect hidden.
void assert_on_queue(dispatch_queue_t queue, id object, SEL selector);

}  // namespace mvm::vz_double

#define VZ_ASSERT_ON_QUEUE(queue) mvm::vz_double::assert_on_queue(queue, self, _cmd)

// How the double makes its own objects where Apple's say that nobody may. initCounted counts the object by its class.
#define VZ_ROOT(Class)         \
  @interface Class (MvmDouble) \
  -(instancetype)initCounted;  \
  @end

VZ_ROOT(VZBootLoader)
VZ_ROOT(VZPlatformConfiguration)
VZ_ROOT(VZGenericMachineIdentifier)
VZ_ROOT(VZStorageDeviceAttachment)
VZ_ROOT(VZStorageDeviceConfiguration)
VZ_ROOT(VZSerialPortAttachment)
VZ_ROOT(VZSerialPortConfiguration)
VZ_ROOT(VZMACAddress)
VZ_ROOT(VZNetworkDeviceAttachment)
VZ_ROOT(VZBridgedNetworkInterface)
VZ_ROOT(VZNetworkDeviceConfiguration)
VZ_ROOT(VZNetworkDevice)
VZ_ROOT(VZEntropyDeviceConfiguration)
VZ_ROOT(VZMemoryBalloonDeviceConfiguration)
VZ_ROOT(VZMemoryBalloonDevice)
VZ_ROOT(VZSocketDeviceConfiguration)
VZ_ROOT(VZSocketDevice)
VZ_ROOT(VZVirtioSocketConnection)
VZ_ROOT(VZVirtioSocketListener)
VZ_ROOT(VZDirectoryShare)
VZ_ROOT(VZSharedDirectory)
VZ_ROOT(VZDirectorySharingDeviceConfiguration)
VZ_ROOT(VZDirectorySharingDevice)
VZ_ROOT(VZVirtualMachineConfiguration)
VZ_ROOT(VZVirtualMachine)

// Within such a class's @implementation: where it has no variables of its own, and where it has (_alive among them).
#define VZ_IMPLEMENT_ROOT           \
  { mvm::vz_double::Alive _alive; } \
  VZ_INIT_COUNTED
#define VZ_INIT_COUNTED                                                          \
  -(instancetype)initCounted {                                                   \
    if ((self = [super init]) != nil) _alive.begin(class_getName([self class])); \
    return self;                                                                 \
  }

NS_ASSUME_NONNULL_END
