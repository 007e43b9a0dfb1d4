// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>
#include <net/ethernet.h>

NS_ASSUME_NONNULL_BEGIN

@interface VZMACAddress : NSObject <NSCopying>
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
- (instancetype)initWithEthernetAddress:(ether_addr_t)ethernetAddress NS_DESIGNATED_INITIALIZER;
- (nullable instancetype)initWithString:(NSString *)string;
+ (instancetype)randomLocallyAdministeredAddress;
@property(readonly, copy) NSString *string;
@property(readonly) ether_addr_t ethernetAddress;
@property(readonly, getter=isBroadcastAddress) BOOL isBroadcastAddress;
@property(readonly, getter=isMulticastAddress) BOOL isMulticastAddress;
@property(readonly, getter=isUnicastAddress) BOOL isUnicastAddress;
@property(readonly, getter=isLocallyAdministeredAddress) BOOL isLocallyAdministeredAddress;
@property(readonly, getter=isUniversallyAdministeredAddress) BOOL isUniversallyAdministeredAddress;
@end

@interface VZNetworkDeviceAttachment : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZNATNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)init;
@end

@interface VZFileHandleNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)initWithFileHandle:(NSFileHandle *)fileHandle NS_DESIGNATED_INITIALIZER;
@property(readonly, strong) NSFileHandle *fileHandle;
@end

@interface VZBridgedNetworkInterface : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@property(class, readonly, copy) NSArray<VZBridgedNetworkInterface *> *networkInterfaces;
@property(readonly, copy) NSString *identifier;
@property(nullable, readonly, copy) NSString *localizedDisplayName;
@end

@interface VZBridgedNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface NS_DESIGNATED_INITIALIZER;
@property(readonly, strong) VZBridgedNetworkInterface *interface;
@end

@interface VZNetworkDeviceConfiguration : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@property(copy) VZMACAddress *MACAddress;
@property(nullable, strong) VZNetworkDeviceAttachment *attachment;
@end

@interface VZVirtioNetworkDeviceConfiguration : VZNetworkDeviceConfiguration
- (instancetype)init;
@end

@interface VZNetworkDevice : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@property(nullable, strong) VZNetworkDeviceAttachment *attachment;
@end

NS_ASSUME_NONNULL_END
