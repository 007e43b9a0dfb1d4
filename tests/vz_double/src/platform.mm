// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include <array>
#include <random>

#include "faults.hpp"
#include "system.hpp"

@implementation VZPlatformConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZGenericMachineIdentifier {
  NSData *_data;
  mvm::vz_double::Alive _alive;
}

static constexpr NSUInteger identifier_bytes = 16;

- (instancetype)initCounted {
  mvm::vz_double::need_system("13.0", "VZGenericMachineIdentifier");
  if ((self = [super init]) != nil) _alive.begin("VZGenericMachineIdentifier");
  return self;
}

- (instancetype)init {
  if ((self = [self initCounted]) != nil) {
    std::array<unsigned char, identifier_bytes> bytes{};
    std::random_device random;
    for (unsigned char &byte : bytes) byte = static_cast<unsigned char>(random());
    _data = [NSData dataWithBytes:bytes.data() length:bytes.size()];
  }
  return self;
}

- (instancetype)initWithDataRepresentation:(NSData *)dataRepresentation {
  if ([dataRepresentation length] != identifier_bytes) return nil;
  if ((self = [self initCounted]) != nil) _data = [dataRepresentation copy];
  return self;
}

- (NSData *)dataRepresentation {
  return _data;
}

- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  return self;  // it never changes
}

- (BOOL)isEqual:(id)other {
  return [other isKindOfClass:[VZGenericMachineIdentifier class]] && [[other dataRepresentation] isEqual:_data];
}

- (NSUInteger)hash {
  return [_data hash];
}
@end

@implementation VZGenericPlatformConfiguration {
  VZGenericMachineIdentifier *_machineIdentifier;
  BOOL _nestedVirtualizationEnabled;
}

- (instancetype)init {
  return [super initCounted];
}

- (VZGenericMachineIdentifier *)machineIdentifier {
  mvm::vz_double::need_system("13.0", "-[VZGenericPlatformConfiguration machineIdentifier]");
  if (_machineIdentifier == nil) _machineIdentifier = [[VZGenericMachineIdentifier alloc] init];
  return _machineIdentifier;
}

- (void)setMachineIdentifier:(VZGenericMachineIdentifier *)identifier {
  mvm::vz_double::need_system("13.0", "-[VZGenericPlatformConfiguration setMachineIdentifier:]");
  _machineIdentifier = [identifier copy];
}

+ (BOOL)isNestedVirtualizationSupported {
  mvm::vz_double::need_system("15.0", "+[VZGenericPlatformConfiguration isNestedVirtualizationSupported]");
  return !mvm::vz_double::faults().no_nested;
}

- (BOOL)isNestedVirtualizationEnabled {
  mvm::vz_double::need_system("15.0", "-[VZGenericPlatformConfiguration isNestedVirtualizationEnabled]");
  return _nestedVirtualizationEnabled;
}

- (void)setNestedVirtualizationEnabled:(BOOL)enabled {
  mvm::vz_double::need_system("15.0", "-[VZGenericPlatformConfiguration setNestedVirtualizationEnabled:]");
  _nestedVirtualizationEnabled = enabled;
}
@end
