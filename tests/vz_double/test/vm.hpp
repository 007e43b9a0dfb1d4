// SPDX-License-Identifier: Apache-2.0
// A machine for tests, and the manners that its framework asks for: everything of it on its queue.
#pragma once
#import <Virtualization/Virtualization.h>

#include <functional>
#include <string>
#include <vector>

#include "vz_double.h"

namespace mvm::vz_double::test {

// What came of a call with a completion handler: an empty domain means no error.
struct Outcome {
  std::string domain;
  long code = 0;
  std::string description;
  std::string reason;

  bool ok() const { return domain.empty(); }
};
Outcome outcome_of(NSError* error);

// No wait here is longer.
constexpr int64_t deadline_ns = 10 * static_cast<int64_t>(NSEC_PER_SEC);

// A kernel that a machine starts, a disk image; in a directory that goes with the process.
NSURL* kernel();
NSURL* new_disk(size_t bytes);
NSURL* new_directory();

VZVirtualMachineConfiguration* small_configuration(const std::string& script = "");

}  // namespace mvm::vz_double::test

// Keeps what a delegate and an observer are told, on the queue.
@interface VzWitness : NSObject <VZVirtualMachineDelegate>
- (std::vector<std::string>)told;
- (BOOL)waitUntilTold:(std::string)what;
@end

namespace mvm::vz_double::test {

// A machine on its own queue. All of its objects are gone when the destructor returns.
class Vm {
 public:
  explicit Vm(VZVirtualMachineConfiguration* configuration);
  ~Vm();
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  // Runs it on the queue, and waits.
  void on_queue(const std::function<void(VZVirtualMachine* vm)>& fn);
  void watch(VzWitness* witness);

  Outcome start();
  Outcome stop();
  Outcome pause();
  Outcome resume();
  Outcome request_stop();
  VZVirtualMachineState state();

  // A descriptor of one's own, or -1.
  int connect(uint32_t port, Outcome& outcome);

 private:
  using Call = void (^)(VZVirtualMachine* vm, void (^completion)(NSError*));
  Outcome wait_for(Call call);

  dispatch_queue_t queue_;
  VZVirtualMachine* vm_;
  VzWitness* witness_ = nil;
};

}  // namespace mvm::vz_double::test
