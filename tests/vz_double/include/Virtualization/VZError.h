// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

VZ_EXPORT NSErrorDomain const VZErrorDomain;

typedef NS_ERROR_ENUM(VZErrorDomain, VZErrorCode){
    VZErrorInternal = 1,
    VZErrorInvalidVirtualMachineConfiguration = 2,
    VZErrorInvalidVirtualMachineState = 3,
    VZErrorInvalidVirtualMachineStateTransition = 4,
    VZErrorInvalidDiskImage = 5,
    VZErrorVirtualMachineLimitExceeded = 6,
    VZErrorNetworkError API_AVAILABLE(macos(13.0)) = 7,
    VZErrorOutOfDiskSpace API_AVAILABLE(macos(13.0)) = 8,
    VZErrorOperationCancelled API_AVAILABLE(macos(13.0)) = 9,
    VZErrorNotSupported API_AVAILABLE(macos(13.0)) = 10,
};

NS_ASSUME_NONNULL_END
