// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>

#include "quiet.hpp"
#include "vm.hpp"

using namespace mvm::vz_double::test;

namespace {

std::string read_all(int fd) {
  std::string all;
  char buffer[256];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<size_t>(n));
  return all;
}

std::string say(int fd, const std::string &text) {
  CHECK(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::shutdown(fd, SHUT_WR);
  return read_all(fd);
}

VZVirtioSocketDevice *device_of(VZVirtualMachine *vm) {
  return static_cast<VZVirtioSocketDevice *>(vm.socketDevices.firstObject);
}

}  // namespace

// Takes or refuses what the guest opens; answers "hello".
@interface VzGreeter : NSObject <VZVirtioSocketListenerDelegate>
@property BOOL refuses;
@end
@implementation VzGreeter
- (BOOL)listener:(VZVirtioSocketListener *)listener
    shouldAcceptNewConnection:(VZVirtioSocketConnection *)connection
             fromSocketDevice:(VZVirtioSocketDevice *)socketDevice {
  (void)listener;
  (void)socketDevice;
  if (self.refuses) return NO;
  const int fd = ::fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 0);
  const bool said = ::write(fd, "hello", 5) == 5;  // the reader checks it; Catch2 has one thread
  ::close(fd);
  return said;
}
@end

TEST_CASE("bytes go to the guest's echo port and come back") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    Outcome outcome;
    const int fd = vm.connect(7, outcome);
    REQUIRE(fd >= 0);
    CHECK(say(fd, "to and fro") == "to and fro");
    ::close(fd);
  }
}

TEST_CASE("a port that nobody serves is a connection reset, and a machine that is not running is code 3") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    Outcome outcome;
    CHECK(vm.connect(7, outcome) == -1);
    CHECK(outcome.code == VZErrorInvalidVirtualMachineState);
    REQUIRE(vm.start().ok());
    CHECK(vm.connect(4, outcome) == -1);
    CHECK(outcome.domain == "NSPOSIXErrorDomain");
    CHECK(outcome.code == ECONNRESET);
  }
}

TEST_CASE("a connection closes its descriptor when it dies, and says -1 after it was closed") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    dispatch_semaphore_t seen = dispatch_semaphore_create(0);
    const auto fd = std::make_shared<int>(-1);
    vm.on_queue([&](VZVirtualMachine *machine) {
      [device_of(machine) connectToPort:7
                      completionHandler:^(VZVirtioSocketConnection *connection, NSError *error) {
                        CHECK(error == nil);
                        CHECK(connection.destinationPort == 7);
                        *fd = connection.fileDescriptor;
                        CHECK(::fcntl(*fd, F_GETFD) != -1);
                        dispatch_semaphore_signal(seen);
                      }];
    });
    dispatch_semaphore_wait(seen, DISPATCH_TIME_FOREVER);
    vm.on_queue([](VZVirtualMachine *) {});  // the handler is over then
    CHECK(vz_double_live_objects("VZVirtioSocketConnection") == 0);
    CHECK(::fcntl(*fd, F_GETFD) == -1);
  }
}

TEST_CASE("a stopped machine's connections end") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    Outcome outcome;
    const int fd = vm.connect(7, outcome);
    REQUIRE(vm.stop().ok());
    CHECK(read_all(fd).empty());
    ::close(fd);
  }
}

TEST_CASE("the guest's own connections reach the listener of their port, which may refuse them") {
  const Quiet quiet;
  @autoreleasepool {
    VzGreeter *greeter = [[VzGreeter alloc] init];
    VZVirtioSocketListener *listener = [[VZVirtioSocketListener alloc] init];
    listener.delegate = greeter;
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    vm.on_queue(
        [listener](VZVirtualMachine *machine) { [device_of(machine) setSocketListener:listener forPort:6000]; });
    Outcome outcome;
    int fd = vm.connect(2050, outcome);
    CHECK(say(fd, "DIAL 6000\n") == "hello");
    ::close(fd);

    greeter.refuses = YES;
    fd = vm.connect(2050, outcome);
    CHECK(say(fd, "DIAL 6000\n") == "ERR refused\n");
    ::close(fd);

    greeter.refuses = NO;
    vm.on_queue([](VZVirtualMachine *machine) { [device_of(machine) removeSocketListenerForPort:6000]; });
    fd = vm.connect(2050, outcome);
    CHECK(say(fd, "DIAL 6000\n") == "ERR refused\n");
    ::close(fd);
  }
}

TEST_CASE("a fault on demand: every connection is refused") {
  const Quiet quiet("refuse-connect=1");
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    Outcome outcome;
    CHECK(vm.connect(7, outcome) == -1);
    CHECK(outcome.code == ECONNRESET);
  }
}

TEST_CASE("a fault on demand: a connection that is never answered holds its handler until the machine is gone") {
  const Quiet quiet("never=connect");
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    const auto token = std::make_shared<int>(0);
    vm.on_queue([&token](VZVirtualMachine *machine) {
      // The block would capture the reference.
      const auto held = token;  // NOLINT(performance-unnecessary-copy-initialization)
      [device_of(machine) connectToPort:7
                      completionHandler:^(VZVirtioSocketConnection *, NSError *) {
                        FAIL("answered " << *held);
                      }];
    });
    CHECK(token.use_count() == 2);
  }
}
