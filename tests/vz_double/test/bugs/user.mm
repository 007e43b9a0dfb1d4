// SPDX-License-Identifier: Apache-2.0
// A small user of the framework, as a plugin is one: in order, or with one defect by a macro. What finds each is the
// double, or a sanitizer, by name: a test of the tests. Exit code 0: nothing was found.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../vm.hpp"

using namespace mvm::vz_double::test;

namespace {

constexpr uint32_t echo_port = 7;
constexpr uint32_t quiet_timeout_ms = 1000;

dispatch_time_t in(int64_t ms) { return dispatch_time(DISPATCH_TIME_NOW, ms * static_cast<int64_t>(NSEC_PER_MSEC)); }

bool wait(dispatch_semaphore_t semaphore) { return dispatch_semaphore_wait(semaphore, in(5000)) == 0; }

}  // namespace

@interface BugUser : NSObject
- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration;
- (bool)start;
- (int)connect;
- (void)letGo;
// Until the start's handler has run.
- (bool)waitForHandler;
@end

@implementation BugUser {
  dispatch_queue_t _queue;
  VZVirtualMachine *_machine;
  void (^_onEnd)(void);
  dispatch_semaphore_t _handled;
#ifdef MVM_VZ_BUG_UNLOCKED
  bool _startedOnce;
#endif
}

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration {
  if ((self = [super init]) != nil) {
    _queue = dispatch_queue_create("org.mvm.bug", DISPATCH_QUEUE_SERIAL);
    _machine = [[VZVirtualMachine alloc] initWithConfiguration:configuration queue:_queue];
    _handled = dispatch_semaphore_create(0);
#ifdef MVM_VZ_BUG_RETAIN_CYCLE
    BugUser *user = self;  // the compiler warns of the plain "self"
    _onEnd = ^{
      [user letGo];
    };
#else
    __weak BugUser *weak_self = self;
    _onEnd = ^{
      [weak_self letGo];
    };
#endif
  }
  return self;
}

// The machine dies on its queue.
- (void)dealloc {
  __block VZVirtualMachine *machine = _machine;
  _machine = nil;
  if (machine == nil) return;
  dispatch_async(_queue, ^{
    machine = nil;
  });
}

#ifdef MVM_VZ_BUG_STACK_CAPTURE
// Its frame is left at the timeout; the handler comes later, and writes there.
- (bool)start {
  dispatch_semaphore_t answered = _handled;
  VZVirtualMachine *machine = _machine;
  bool started = false;
  bool *result = &started;
  dispatch_async(_queue, ^{
    [machine startWithCompletionHandler:^(NSError *error) {
      *result = error == nil;
      dispatch_semaphore_signal(answered);
    }];
  });
  dispatch_semaphore_wait(answered, in(10));
  return started;
}
#else
- (bool)start {
  dispatch_semaphore_t answered = dispatch_semaphore_create(0);
  VZVirtualMachine *machine = _machine;
  const auto started = std::make_shared<bool>(false);
  dispatch_async(_queue, ^{
    [machine startWithCompletionHandler:^(NSError *error) {
      *started = error == nil;
      dispatch_semaphore_signal(answered);
#ifdef MVM_VZ_BUG_UNLOCKED
      self->_startedOnce = true;
#endif
    }];
  });
  const bool ok = wait(answered) && *started;
#ifdef MVM_VZ_BUG_UNLOCKED
  _startedOnce = true;
#endif
  return ok;
}
#endif

- (bool)waitForHandler {
  return wait(_handled);
}

- (int)connect {
  dispatch_semaphore_t answered = dispatch_semaphore_create(0);
  VZVirtualMachine *machine = _machine;
  const auto result = std::make_shared<int>(-1);
  dispatch_async(_queue, ^{
    VZVirtioSocketDevice *device = static_cast<VZVirtioSocketDevice *>(machine.socketDevices.firstObject);
    [device connectToPort:echo_port
        completionHandler:^(VZVirtioSocketConnection *connection, NSError *error) {
          (void)error;
#ifdef MVM_VZ_BUG_NO_DUP
          *result = connection.fileDescriptor;
#else
          *result = ::fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 0);
#endif
          dispatch_semaphore_signal(answered);
        }];
  });
  wait(answered);
  dispatch_sync(_queue, ^{
                });  // the handler, and what it held, is gone
  return *result;
}

- (void)letGo {
#ifdef MVM_VZ_BUG_OFF_QUEUE
  (void)_machine.canStop;
#endif
#ifdef MVM_VZ_BUG_DEALLOC_OFF_QUEUE
  dispatch_sync(_queue, ^{
                });
  _machine = nil;
#endif
}
@end

namespace {

#ifdef MVM_VZ_BUG_STACK_CAPTURE
bool use(BugUser *user) {
  vz_double_set_faults("start-delay=200");
  [user start];
  return [user waitForHandler];  // which should have been found out
}
#else
// Whether the connection serves.
bool echoes(int fd) {
  char answer = 0;
  if (::write(fd, "x", 1) != 1 || ::read(fd, &answer, 1) != 1) {
    std::fprintf(stderr, "the user's connection: %s\n", std::strerror(errno));
    return false;
  }
  return answer == 'x';
}

bool use(BugUser *user) {
#ifdef MVM_VZ_BUG_NEWER_CLASS
  vz_double_set_system("12.5");
  (void)[[VZGenericMachineIdentifier alloc] init];
#endif
  if (![user start]) return false;
  const int fd = [user connect];
  const bool served = echoes(fd);
#ifndef MVM_VZ_BUG_NO_DUP
  ::close(fd);
#endif
#ifdef MVM_VZ_BUG_LEAK
  (void)(__bridge_retained void *)[[VZVirtioSocketListener alloc] init];
#endif
  [user letGo];
  return served;
}
#endif

}  // namespace

int main() {
  bool served = false;
  @autoreleasepool {
    served = use([[BugUser alloc] initWithConfiguration:small_configuration()]);
  }
  const bool quiet = vz_double_wait_until_quiet(quiet_timeout_ms) != 0;
  char alive[1024];
  vz_double_describe_live_objects(alive, sizeof alive);
  if (!quiet) std::fprintf(stderr, "still alive: %s", alive);
  return served && quiet ? 0 : 1;
}
