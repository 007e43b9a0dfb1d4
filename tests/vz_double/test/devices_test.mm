// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <unistd.h>

#include "quiet.hpp"
#include "vm.hpp"

using namespace mvm::vz_double::test;
using mvm::test::ContainsSubstring;

namespace {

std::string ask_shares(Vm &vm) {
  Outcome outcome;
  const int fd = vm.connect(2049, outcome);
  REQUIRE(fd >= 0);
  CHECK(::write(fd, "LIST\n", 5) == 5);
  ::shutdown(fd, SHUT_WR);
  std::string all;
  char buffer[256];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  return all;
}

VZMultipleDirectoryShare *several(NSString *name, BOOL read_only) {
  VZSharedDirectory *directory = [[VZSharedDirectory alloc] initWithURL:new_directory() readOnly:read_only];
  return [[VZMultipleDirectoryShare alloc] initWithDirectories:@{name : directory}];
}

}  // namespace

TEST_CASE("the guest sees a single share under its tag, and several under their names, also those that come later") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtioFileSystemDeviceConfiguration *work = [[VZVirtioFileSystemDeviceConfiguration alloc] initWithTag:@"work"];
    work.share = [[VZSingleDirectoryShare alloc]
        initWithDirectory:[[VZSharedDirectory alloc] initWithURL:new_directory() readOnly:YES]];
    VZVirtioFileSystemDeviceConfiguration *later = [[VZVirtioFileSystemDeviceConfiguration alloc] initWithTag:@"mvm"];
    later.share = [[VZMultipleDirectoryShare alloc] init];
    VZVirtualMachineConfiguration *c = small_configuration();
    c.directorySharingDevices = @[ work, later ];
    Vm vm(c);
    REQUIRE(vm.start().ok());
    CHECK(ask_shares(vm) == "OK 1\nwork ro\n");
    vm.on_queue([](VZVirtualMachine *machine) {
      VZVirtioFileSystemDevice *device = static_cast<VZVirtioFileSystemDevice *>(machine.directorySharingDevices[1]);
      CHECK([device.tag isEqual:@"mvm"]);
      device.share = several(@"data", NO);
    });
    CHECK(ask_shares(vm) == "OK 2\ndata rw\nwork ro\n");
    vm.on_queue([](VZVirtualMachine *machine) {
      static_cast<VZVirtioFileSystemDevice *>(machine.directorySharingDevices[1]).share = several(@"other", YES);
    });
    CHECK(ask_shares(vm) == "OK 2\nother ro\nwork ro\n");
  }
}

TEST_CASE("what the guest prints comes out of its serial port before it is told that it stopped") {
  const Quiet quiet;
  @autoreleasepool {
    int pipe_fds[2];
    REQUIRE(::pipe(pipe_fds) == 0);
    {
      NSFileHandle *out = [[NSFileHandle alloc] initWithFileDescriptor:pipe_fds[1] closeOnDealloc:YES];
      VZVirtioConsoleDeviceSerialPortConfiguration *port = [[VZVirtioConsoleDeviceSerialPortConfiguration alloc] init];
      port.attachment = [[VZFileHandleSerialPortAttachment alloc] initWithFileHandleForReading:nil
                                                                          fileHandleForWriting:out];
      VZVirtualMachineConfiguration *c = small_configuration();
      c.serialPorts = @[ port ];
      VzWitness *witness = [[VzWitness alloc] init];
      Vm vm(c);
      vm.watch(witness);
      REQUIRE(vm.start().ok());
      REQUIRE(vm.request_stop().ok());
      REQUIRE([witness waitUntilTold:"guest did stop"]);
      char printed[16384];
      const ssize_t n = ::read(pipe_fds[0], printed, sizeof printed);
      CHECK_THAT(std::string(printed, static_cast<size_t>(std::max<ssize_t>(n, 0))),
                 ContainsSubstring("console=hvc0") && ContainsSubstring("reboot: Power down"));
    }
    ::close(pipe_fds[0]);
  }
}

TEST_CASE("what is typed at the serial port comes back from the guest's terminal") {
  const Quiet quiet;
  @autoreleasepool {
    int console[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, console) == 0);
    {
      NSFileHandle *both = [[NSFileHandle alloc] initWithFileDescriptor:console[1] closeOnDealloc:YES];
      VZVirtioConsoleDeviceSerialPortConfiguration *port = [[VZVirtioConsoleDeviceSerialPortConfiguration alloc] init];
      port.attachment = [[VZFileHandleSerialPortAttachment alloc] initWithFileHandleForReading:both
                                                                          fileHandleForWriting:both];
      VZVirtualMachineConfiguration *c = small_configuration();
      c.serialPorts = @[ port ];
      Vm vm(c);
      REQUIRE(vm.start().ok());
      CHECK(::write(console[0], "uname\n", 6) == 6);
      std::string printed;
      char buffer[4096];
      while (printed.find("uname\n") == std::string::npos) {
        const ssize_t n = ::read(console[0], buffer, sizeof buffer);
        REQUIRE(n > 0);
        printed.append(buffer, static_cast<size_t>(n));
      }
    }
    ::close(console[0]);
  }
}

TEST_CASE("a balloon's target is kept within the machine's memory, in whole MiB") {
  const Quiet quiet;
  @autoreleasepool {
    VZVirtualMachineConfiguration *c = small_configuration();
    c.memoryBalloonDevices = @[ [[VZVirtioTraditionalMemoryBalloonDeviceConfiguration alloc] init] ];
    c.entropyDevices = @[ [[VZVirtioEntropyDeviceConfiguration alloc] init] ];
    Vm vm(c);
    vm.on_queue([](VZVirtualMachine *machine) {
      auto *balloon = static_cast<VZVirtioTraditionalMemoryBalloonDevice *>(machine.memoryBalloonDevices.firstObject);
      balloon.targetVirtualMachineMemorySize = UINT64_MAX;
      CHECK(balloon.targetVirtualMachineMemorySize == uint64_t{64} << 20);
      balloon.targetVirtualMachineMemorySize = (uint64_t{32} << 20) + 1;
      CHECK(balloon.targetVirtualMachineMemorySize == uint64_t{32} << 20);
    });
  }
}
