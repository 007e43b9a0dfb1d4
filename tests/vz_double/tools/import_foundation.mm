// SPDX-License-Identifier: Apache-2.0
#import <Foundation/Foundation.h>
#import <dispatch/dispatch.h>
