// SPDX-License-Identifier: Apache-2.0
#import <Virtualization/Virtualization.h>
