// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

@interface VZPlatformConfiguration : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

API_AVAILABLE(macos(13.0))
@interface VZGenericMachineIdentifier : NSObject <NSCopying>
- (instancetype)init;
- (nullable instancetype)initWithDataRepresentation:(NSData *)dataRepresentation;
@property(readonly, copy) NSData *dataRepresentation;
@end

@interface VZGenericPlatformConfiguration : VZPlatformConfiguration
- (instancetype)init;
@property(copy) VZGenericMachineIdentifier *machineIdentifier API_AVAILABLE(macos(13.0));
@property(class, readonly, getter=isNestedVirtualizationSupported)
    BOOL nestedVirtualizationSupported API_AVAILABLE(macos(15.0));
@property(getter=isNestedVirtualizationEnabled) BOOL nestedVirtualizationEnabled API_AVAILABLE(macos(15.0));
@end

NS_ASSUME_NONNULL_END
