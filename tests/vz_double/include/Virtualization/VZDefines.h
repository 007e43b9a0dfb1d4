// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Availability.h>
#import <Foundation/Foundation.h>
#import <dispatch/dispatch.h>

// GNUstep's is empty.
#undef NS_UNAVAILABLE
#define NS_UNAVAILABLE __attribute__((unavailable))
#undef NS_DESIGNATED_INITIALIZER
#define NS_DESIGNATED_INITIALIZER __attribute__((objc_designated_initializer))
#ifndef NS_ERROR_ENUM
#define NS_ERROR_ENUM(domain, name) NS_ENUM(NSInteger, name)
#endif

#ifdef __cplusplus
#define VZ_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define VZ_EXPORT extern __attribute__((visibility("default")))
#endif
