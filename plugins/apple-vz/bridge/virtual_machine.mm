// SPDX-License-Identifier: Apache-2.0
#include "virtual_machine.hpp"

#import <Foundation/Foundation.h>
#import <Virtualization/Virtualization.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

#include "configuration.hpp"
#include "objc.hpp"
#include "queue_impl.hpp"

using mvm::UniqueFd;
using mvm::apple_vz::attempt;
using mvm::apple_vz::framework_error;
using mvm::apple_vz::FrameworkError;
using mvm::apple_vz::FrameworkFailure;
using mvm::apple_vz::Problem;
using mvm::apple_vz::Watcher;

namespace {

NSString *const state_key = @"state";

// The connection object closes its own descriptor when it goes, which it does with the handler: the duplicate keeps the
// stream. Nobody keeps the object, or the guest would not see the end that the duplicate's owner makes.
UniqueFd descriptor_of(VZVirtioSocketConnection *connection) {
  UniqueFd fd(::fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 0));
  if (!fd) {
    throw FrameworkFailure(
        {"NSPOSIXErrorDomain", errno, std::string("the connection: ") + std::strerror(errno), "", {}});
  }
#ifdef SO_NOSIGPIPE
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return fd;
}

}  // namespace

// The delegate of the machine and of its listeners, and the observer of its state. The framework holds it weakly.
@interface MvmMachineWatcher : NSObject <VZVirtualMachineDelegate, VZVirtioSocketListenerDelegate>
- (instancetype)initWithWatcher:(Watcher)watcher;
@end

@implementation MvmMachineWatcher {
  Watcher _watcher;
}

- (instancetype)initWithWatcher:(Watcher)watcher {
  if ((self = [super init]) != nil) _watcher = std::move(watcher);
  return self;
}

- (void)observeValueForKeyPath:(NSString *)keyPath
                      ofObject:(id)object
                        change:(NSDictionary *)change
                       context:(void *)context {
  (void)keyPath;
  (void)object;
  (void)change;
  (void)context;
  (void)attempt([self] { self->_watcher.on_state(); });
}

- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine {
  (void)virtualMachine;
  (void)attempt([self] { self->_watcher.on_guest_stopped(); });
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine didStopWithError:(NSError *)error {
  (void)virtualMachine;
  (void)attempt([self, error] { self->_watcher.on_error(framework_error(error)); });
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine
                         networkDevice:(VZNetworkDevice *)networkDevice
    attachmentWasDisconnectedWithError:(NSError *)error {
  (void)virtualMachine;
  (void)networkDevice;
  (void)attempt([self, error] { self->_watcher.on_network_lost(framework_error(error)); });
}

- (BOOL)listener:(VZVirtioSocketListener *)listener
    shouldAcceptNewConnection:(VZVirtioSocketConnection *)connection
             fromSocketDevice:(VZVirtioSocketDevice *)socketDevice {
  (void)listener;
  (void)socketDevice;
  bool taken = false;
  (void)attempt([self, connection, &taken] {
    UniqueFd fd = descriptor_of(connection);
    taken = self->_watcher.on_guest_connect(connection.destinationPort, fd);
  });
  return taken ? YES : NO;
}
@end

namespace mvm::apple_vz {

struct VirtualMachine::Impl {
  Queue queue;
  VZVirtualMachine *machine;
  VZVirtioSocketDevice *sockets;
  MvmMachineWatcher *watcher;
  VZVirtioSocketListener *listener;
  std::shared_ptr<bool> dropped = std::make_shared<bool>(false);

  VZVirtioFileSystemDevice *file_system(const std::string &tag) const {
    NSString *const wanted = ns_string(tag);
    for (VZDirectorySharingDevice *device in machine.directorySharingDevices) {
      auto *const found = static_cast<VZVirtioFileSystemDevice *>(device);
      if ([found.tag isEqualToString:wanted]) return found;
    }
    throw FrameworkFailure({"mvm", 0, "the machine has no device for the tag \"" + tag + "\"", "", {}});
  }

  void show(const std::string &tag, VZDirectoryShare *share) const { file_system(tag).share = share; }
};

VirtualMachine::VirtualMachine(Queue queue, const MachinePlan &plan, Watcher watcher) {
  attempt_or_throw([&] {
    VZVirtualMachineConfiguration *configuration = configuration_of(plan);
    MvmMachineWatcher *own_watcher = [[MvmMachineWatcher alloc] initWithWatcher:std::move(watcher)];
    VZVirtualMachine *machine = [[VZVirtualMachine alloc] initWithConfiguration:configuration queue:queue.impl().queue];
    machine.delegate = own_watcher;
    VZVirtioSocketListener *listener = [[VZVirtioSocketListener alloc] init];
    listener.delegate = own_watcher;
    impl_.reset(new Impl{std::move(queue), machine,
                         static_cast<VZVirtioSocketDevice *>(machine.socketDevices.firstObject), own_watcher,
                         listener});
    [machine addObserver:own_watcher forKeyPath:state_key options:0 context:nullptr];
  });
}

VirtualMachine::~VirtualMachine() {
  *impl_->dropped = true;
  (void)attempt([this] {
    [impl_->machine removeObserver:impl_->watcher forKeyPath:state_key];
    impl_->machine.delegate = nil;
    impl_.reset();
  });
}

// ---- state

namespace {

VirtualMachine::State state_of(VZVirtualMachineState state) {
  using State = VirtualMachine::State;
  switch (state) {
    case VZVirtualMachineStateStopped:
      return State::stopped;
    case VZVirtualMachineStateRunning:
      return State::running;
    case VZVirtualMachineStatePaused:
      return State::paused;
    case VZVirtualMachineStateError:
      return State::error;
    case VZVirtualMachineStateStarting:
      return State::starting;
    case VZVirtualMachineStatePausing:
      return State::pausing;
    case VZVirtualMachineStateResuming:
      return State::resuming;
    case VZVirtualMachineStateStopping:
      return State::stopping;
    default:
      return State::other;
  }
}

}  // namespace

VirtualMachine::State VirtualMachine::state() const {
  State state = State::other;
  (void)attempt([&] { state = state_of(impl_->machine.state); });
  return state;
}

bool VirtualMachine::can_request_stop() const {
  bool can = false;
  (void)attempt([&] { can = impl_->machine.canRequestStop; });
  return can;
}

bool VirtualMachine::can_stop() const {
  bool can = false;
  (void)attempt([&] { can = impl_->machine.canStop; });
  return can;
}

bool VirtualMachine::can_pause() const {
  bool can = false;
  (void)attempt([&] { can = impl_->machine.canPause; });
  return can;
}

bool VirtualMachine::can_resume() const {
  bool can = false;
  (void)attempt([&] { can = impl_->machine.canResume; });
  return can;
}

// ---- calls

namespace {

using Handler = void (^)(NSError *);

// A block in a function of its own: one within a lambda would hold what the lambda's references refer to.
Handler handler_of(VirtualMachine::Done done) {
  return ^(NSError *error) {
    (void)attempt([&] { done(error == nil ? Problem() : Problem(framework_error(error))); });
  };
}

}  // namespace

void VirtualMachine::start(const Done &done) {
  // A start that is answered after everybody left: the machine may outlive its last owner until then, and must not
  // come to run for nobody.
  const auto dropped = impl_->dropped;
  __weak VZVirtualMachine *late = impl_->machine;
  const Handler answer = handler_of(done);
  const Handler handler = ^(NSError *error) {
    if (!*dropped) return answer(error);
    if (error != nil) return;
    (void)attempt([&] {
      [late stopWithCompletionHandler:^(NSError *){
      }];
    });
  };
  if (const Problem problem = attempt([&] { [impl_->machine startWithCompletionHandler:handler]; })) done(problem);
}

Problem VirtualMachine::request_stop() {
  return attempt([this] {
    NSError *error = nil;
    if (![impl_->machine requestStopWithError:&error]) {
      throw FrameworkFailure(framework_error(error, "the guest could not be asked to stop"));
    }
  });
}

void VirtualMachine::stop(const Done &done) {
  const Handler handler = handler_of(done);
  if (const Problem problem = attempt([&] { [impl_->machine stopWithCompletionHandler:handler]; })) done(problem);
}

void VirtualMachine::pause(const Done &done) {
  const Handler handler = handler_of(done);
  if (const Problem problem = attempt([&] { [impl_->machine pauseWithCompletionHandler:handler]; })) done(problem);
}

void VirtualMachine::resume(const Done &done) {
  const Handler handler = handler_of(done);
  if (const Problem problem = attempt([&] { [impl_->machine resumeWithCompletionHandler:handler]; })) done(problem);
}

// ---- vsock

namespace {

using ConnectHandler = void (^)(VZVirtioSocketConnection *, NSError *);

ConnectHandler handler_of(VirtualMachine::Connected connected) {
  return ^(VZVirtioSocketConnection *connection, NSError *error) {
    (void)attempt([&] {
      UniqueFd fd;
      const Problem problem = attempt([&] {
        if (connection == nil) throw FrameworkFailure(framework_error(error, "there is no connection"));
        fd = descriptor_of(connection);
      });
      connected(std::move(fd), problem);
    });
  };
}

}  // namespace

void VirtualMachine::connect(uint32_t port, const Connected &connected) {
  const ConnectHandler handler = handler_of(connected);
  const Problem problem = attempt([&] { [impl_->sockets connectToPort:port completionHandler:handler]; });
  if (problem) connected({}, problem);
}

Problem VirtualMachine::listen(uint32_t port) {
  return attempt([this, port] { [impl_->sockets setSocketListener:impl_->listener forPort:port]; });
}

Problem VirtualMachine::ignore(uint32_t port) {
  return attempt([this, port] { [impl_->sockets removeSocketListenerForPort:port]; });
}

// ---- directories

Problem VirtualMachine::share_alone(const std::string &tag, const Directory *directory) {
  return attempt([&] { impl_->show(tag, directory == nullptr ? nil : share_of(*directory)); });
}

Problem VirtualMachine::share_under(const std::string &tag, const std::vector<Directory> &directories) {
  return attempt([&] { impl_->show(tag, share_of(directories)); });
}

}  // namespace mvm::apple_vz
