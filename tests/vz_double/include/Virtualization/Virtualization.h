// SPDX-License-Identifier: Apache-2.0
// What of Apple's Virtualization.framework a Linux guest takes: the same names, types and attributes, held to the facts
// in ../../facts by the test "vz facts".
#pragma once
#import <Virtualization/VZBootLoader.h>
#import <Virtualization/VZDefines.h>
#import <Virtualization/VZDirectorySharing.h>
#import <Virtualization/VZEntropy.h>
#import <Virtualization/VZError.h>
#import <Virtualization/VZMemoryBalloon.h>
#import <Virtualization/VZNetwork.h>
#import <Virtualization/VZPlatform.h>
#import <Virtualization/VZSerialPort.h>
#import <Virtualization/VZSocket.h>
#import <Virtualization/VZStorage.h>
#import <Virtualization/VZVirtualMachine.h>
#import <Virtualization/VZVirtualMachineConfiguration.h>
