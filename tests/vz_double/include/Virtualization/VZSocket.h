// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

@class VZVirtioSocketConnection, VZVirtioSocketDevice, VZVirtioSocketListener;

@interface VZSocketDeviceConfiguration : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZVirtioSocketDeviceConfiguration : VZSocketDeviceConfiguration
- (instancetype)init;
@end

@interface VZSocketDevice : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@protocol VZVirtioSocketListenerDelegate <NSObject>
@optional
- (BOOL)listener:(VZVirtioSocketListener *)listener
    shouldAcceptNewConnection:(VZVirtioSocketConnection *)connection
             fromSocketDevice:(VZVirtioSocketDevice *)socketDevice;
@end

@interface VZVirtioSocketListener : NSObject
@property(nullable, weak) id<VZVirtioSocketListenerDelegate> delegate;
@end

// Closes its descriptor when it dies.
@interface VZVirtioSocketConnection : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@property(readonly) uint32_t destinationPort;
@property(readonly) uint32_t sourcePort;
@property(readonly) int fileDescriptor;
- (void)close;
@end

@interface VZVirtioSocketDevice : VZSocketDevice
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
- (void)setSocketListener:(VZVirtioSocketListener *)listener forPort:(uint32_t)port;
- (void)removeSocketListenerForPort:(uint32_t)port;
- (void)connectToPort:(uint32_t)port
    completionHandler:
        (void (^)(VZVirtioSocketConnection *_Nullable connection, NSError *_Nullable error))completionHandler;
@end

NS_ASSUME_NONNULL_END
