// SPDX-License-Identifier: Apache-2.0
#include "quiet.hpp"
#include "vm.hpp"

using namespace mvm::vz_double::test;
using mvm::test::ContainsSubstring;

namespace {

Outcome validate(VZVirtualMachineConfiguration *configuration) {
  NSError *error = nil;
  if ([configuration validateWithError:&error]) return {};
  return outcome_of(error);
}

}  // namespace

TEST_CASE("a machine's size is held to the framework's limits") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtualMachineConfiguration *c = small_configuration();
    CHECK(validate(c).ok());
    c.CPUCount = VZVirtualMachineConfiguration.maximumAllowedCPUCount + 1;
    CHECK(validate(c).code == VZErrorInvalidVirtualMachineConfiguration);
    c = small_configuration();
    c.memorySize += 1;
    CHECK_THAT(validate(c).reason, ContainsSubstring("1 MiB"));
    c.memorySize = VZVirtualMachineConfiguration.minimumAllowedMemorySize / 2;
    CHECK_THAT(validate(c).reason, ContainsSubstring("memory size"));
    c.memorySize = VZVirtualMachineConfiguration.maximumAllowedMemorySize * 2;
    CHECK_THAT(validate(c).reason, ContainsSubstring("memory size"));
  }
}

TEST_CASE("a configuration without a boot loader, or with two socket devices, is invalid") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtualMachineConfiguration *c = small_configuration();
    c.socketDevices =
        @[ [[VZVirtioSocketDeviceConfiguration alloc] init], [[VZVirtioSocketDeviceConfiguration alloc] init] ];
    CHECK_THAT(validate(c).reason, ContainsSubstring("socket device"));
    c = small_configuration();
    c.bootLoader = nil;
    CHECK_THAT(validate(c).reason, ContainsSubstring("boot loader"));
  }
}

TEST_CASE("a machine of an invalid configuration is an exception") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtualMachineConfiguration *c = small_configuration();
    c.CPUCount = 0;
    std::string name;
    @try {
      (void)[[VZVirtualMachine alloc] initWithConfiguration:c
                                                      queue:dispatch_queue_create("none", DISPATCH_QUEUE_SERIAL)];
    } @catch (NSException *exception) {
      name = [[exception name] UTF8String];
    }
    CHECK(name == "NSInvalidArgumentException");
  }
}

TEST_CASE("a tag has 1 to 35 bytes, and each device its own") {
  const Quiet quiet;
  @autoreleasepool {
    using Device = VZVirtioFileSystemDeviceConfiguration;
    CHECK([Device validateTag:[@"" stringByPaddingToLength:35 withString:@"t" startingAtIndex:0] error:nullptr]);
    CHECK(![Device validateTag:[@"" stringByPaddingToLength:36 withString:@"t" startingAtIndex:0] error:nullptr]);
    CHECK(![Device validateTag:@"" error:nullptr]);
    VZVirtualMachineConfiguration *c = small_configuration();
    c.directorySharingDevices = @[ [[Device alloc] initWithTag:@"work"], [[Device alloc] initWithTag:@"work"] ];
    CHECK_THAT(validate(c).reason, ContainsSubstring("more than once"));
  }
}

TEST_CASE("the name of a directory among several that is none raises") {
  const Quiet quiet;
  @autoreleasepool {
    VZSharedDirectory *directory = [[VZSharedDirectory alloc] initWithURL:new_directory() readOnly:YES];
    CHECK([[VZMultipleDirectoryShare alloc] initWithDirectories:@{@"work" : directory}] != nil);
    bool raised = false;
    @try {
      (void)[[VZMultipleDirectoryShare alloc] initWithDirectories:@{@"a/b" : directory}];
    } @catch (NSException *) {
      raised = true;
    }
    CHECK(raised);
    CHECK([[VZMultipleDirectoryShare canonicalizedNameFromName:@"a/b"] isEqual:@"a:b"]);
  }
}

TEST_CASE("a disk image that is missing, empty or of a broken size is code 5") {
  const Quiet quiet;
  @autoreleasepool {
    const auto attach = [](NSURL *url) {
      NSError *error = nil;
      (void)[[VZDiskImageStorageDeviceAttachment alloc] initWithURL:url readOnly:NO error:&error];
      return outcome_of(error);
    };
    CHECK(attach(new_disk(4096)).ok());
    CHECK(attach(new_disk(0)).code == VZErrorInvalidDiskImage);
    CHECK(attach(new_disk(1000)).code == VZErrorInvalidDiskImage);
    CHECK(attach([NSURL fileURLWithPath:@"/nonexistent/disk"]).code == VZErrorInvalidDiskImage);
    CHECK(attach(new_directory()).code == VZErrorInvalidDiskImage);
  }
}

TEST_CASE("a disk has one machine that writes") {
  const Quiet quiet;
  @autoreleasepool {
    NSURL *disk = new_disk(4096);
    const auto with_disk = [disk] {
      VZVirtualMachineConfiguration *c = small_configuration();
      VZDiskImageStorageDeviceAttachment *image =
          [[VZDiskImageStorageDeviceAttachment alloc] initWithURL:disk
                                                         readOnly:NO
                                                      cachingMode:VZDiskImageCachingModeCached
                                              synchronizationMode:VZDiskImageSynchronizationModeFsync
                                                            error:nullptr];
      c.storageDevices = @[ [[VZVirtioBlockDeviceConfiguration alloc] initWithAttachment:image] ];
      return c;
    };
    Vm first(with_disk());
    Vm second(with_disk());
    REQUIRE(first.start().ok());
    CHECK_THAT(second.start().reason, ContainsSubstring("storage device attachment"));
    REQUIRE(first.stop().ok());
    CHECK(second.start().ok());
  }
}

TEST_CASE("a MAC address is six pairs of digits, and nothing else") {
  const Quiet quiet;
  @autoreleasepool {
    VZMACAddress *address = [[VZMACAddress alloc] initWithString:@"52:54:00:0A:0b:0c"];
    CHECK([address.string isEqual:@"52:54:00:0a:0b:0c"]);
    CHECK(address.isLocallyAdministeredAddress);
    CHECK(address.isUnicastAddress);
    for (NSString *bad in
         @[ @"", @"52:54:00:0a:0b", @"52:54:00:0a:0b:0c:0d", @"52-54-00-0a-0b-0c", @"xx:54:00:0a:0b:0c" ]) {
      CHECK([[VZMACAddress alloc] initWithString:bad] == nil);
    }
    CHECK([VZMACAddress randomLocallyAdministeredAddress].isLocallyAdministeredAddress);
  }
}

TEST_CASE("a machine identifier is what its bytes say, and bytes that are none give none") {
  const Quiet quiet;
  @autoreleasepool {
    VZGenericMachineIdentifier *one = [[VZGenericMachineIdentifier alloc] init];
    CHECK([[[VZGenericMachineIdentifier alloc] initWithDataRepresentation:one.dataRepresentation] isEqual:one]);
    CHECK([[VZGenericMachineIdentifier alloc] initWithDataRepresentation:[NSData data]] == nil);
    CHECK(![[[VZGenericMachineIdentifier alloc] init] isEqual:one]);
  }
}

TEST_CASE("faults on demand: no entitlement, an invalid configuration without an error, Rosetta that is not there") {
  const Quiet quiet;
  @autoreleasepool {
    vz_double_set_faults("no-entitlement=1");
    CHECK_THAT(validate(small_configuration()).reason, ContainsSubstring("entitlement"));
    vz_double_set_faults("invalid-without-error=1");
    NSError *error = nil;
    CHECK(![small_configuration() validateWithError:&error]);
    CHECK(error == nil);
    vz_double_set_faults("rosetta=not-installed");
    CHECK(VZLinuxRosettaDirectoryShare.availability == VZLinuxRosettaAvailabilityNotInstalled);
    CHECK([[VZLinuxRosettaDirectoryShare alloc] initWithError:nullptr] == nil);
    vz_double_set_faults("rosetta=installed");
    CHECK([[VZLinuxRosettaDirectoryShare alloc] initWithError:nullptr] != nil);
  }
}

TEST_CASE("nested virtualization where there is none makes a configuration invalid") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtualMachineConfiguration *c = small_configuration();
    VZGenericPlatformConfiguration *platform = [[VZGenericPlatformConfiguration alloc] init];
    platform.nestedVirtualizationEnabled = YES;
    c.platform = platform;
    CHECK(validate(c).ok());
    vz_double_set_faults("no-nested=1");
    CHECK_THAT(validate(c).reason, ContainsSubstring("Nested virtualization"));
  }
}

TEST_CASE("__builtin_available asks the macOS that is pretended") {
  const Quiet quiet;
  vz_double_set_system("12.5");
  bool has_13 = false;
  if (__builtin_available(macOS 13.0, *)) has_13 = true;
  CHECK(!has_13);
  vz_double_set_system("13.0");
  if (__builtin_available(macOS 13.0, *)) has_13 = true;
  CHECK(has_13);
  vz_double_set_system("15.0");
}
