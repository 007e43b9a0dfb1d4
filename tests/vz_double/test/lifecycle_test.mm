// SPDX-License-Identifier: Apache-2.0
#include "quiet.hpp"
#include "vm.hpp"

using namespace mvm::vz_double::test;

using Told = std::vector<std::string>;

TEST_CASE("a machine passes from stopped over starting to running, and over stopping to stopped") {
  const Quiet quiet;
  @autoreleasepool {
    VzWitness *witness = [[VzWitness alloc] init];
    Vm vm(small_configuration());
    vm.watch(witness);
    CHECK(vm.start().ok());
    CHECK(vm.state() == VZVirtualMachineStateRunning);
    CHECK(vm.stop().ok());
    CHECK(vm.state() == VZVirtualMachineStateStopped);
    CHECK([witness told] == Told{"state starting", "state running", "state stopping", "state stopped"});
  }
}

TEST_CASE("a guest that is asked to stop does, and the delegate is told") {
  const Quiet quiet;
  @autoreleasepool {
    VzWitness *witness = [[VzWitness alloc] init];
    Vm vm(small_configuration());
    vm.watch(witness);
    REQUIRE(vm.start().ok());
    CHECK(vm.request_stop().ok());
    CHECK([witness waitUntilTold:"guest did stop"]);
    CHECK(vm.state() == VZVirtualMachineStateStopped);
  }
}

TEST_CASE("a stopped machine starts again") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    for (int n = 0; n < 3; ++n) {
      CHECK(vm.start().ok());
      CHECK(vm.stop().ok());
    }
  }
}

TEST_CASE("what the state does not allow is refused with code 4") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    CHECK(vm.stop().code == VZErrorInvalidVirtualMachineStateTransition);
    CHECK(vm.pause().code == VZErrorInvalidVirtualMachineStateTransition);
    CHECK(vm.resume().code == VZErrorInvalidVirtualMachineStateTransition);
    CHECK(vm.request_stop().code == VZErrorInvalidVirtualMachineStateTransition);
    REQUIRE(vm.start().ok());
    CHECK(vm.start().code == VZErrorInvalidVirtualMachineStateTransition);
  }
}

TEST_CASE("a paused machine resumes") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    CHECK(vm.pause().ok());
    CHECK(vm.state() == VZVirtualMachineStatePaused);
    CHECK(vm.resume().ok());
    CHECK(vm.state() == VZVirtualMachineStateRunning);
  }
}

TEST_CASE("a guest that shuts itself down is told as such, one that panics as an error with its words") {
  const Quiet quiet;
  @autoreleasepool {
    VzWitness *witness = [[VzWitness alloc] init];
    Vm vm(small_configuration("simulated.exit-after=\"5\""));
    vm.watch(witness);
    REQUIRE(vm.start().ok());
    CHECK([witness waitUntilTold:"guest did stop"]);

    VzWitness *second = [[VzWitness alloc] init];
    Vm panics(small_configuration("simulated.panic-after=5"));
    panics.watch(second);
    REQUIRE(panics.start().ok());
    CHECK([second waitUntilTold:"stopped: Kernel panic - not syncing: asked for by option panic-after"]);
    CHECK(panics.state() == VZVirtualMachineStateError);
    CHECK(panics.start().ok());
  }
}

TEST_CASE("a machine that is let go while it runs is gone, and so is its guest") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
  }
}

TEST_CASE("a fault on demand: a start that fails, with the code that was asked for") {
  const Quiet quiet("start-error=6 start-delay=5");
  @autoreleasepool {
    Vm vm(small_configuration());
    CHECK(vm.start().code == VZErrorVirtualMachineLimitExceeded);
    CHECK(vm.state() == VZVirtualMachineStateError);
  }
}

TEST_CASE("a handler whose machine is let go meanwhile is called, with an error") {
  const Quiet quiet("start-delay=20");
  @autoreleasepool {
    dispatch_semaphore_t answered = dispatch_semaphore_create(0);
    const auto outcome = std::make_shared<Outcome>();
    {
      Vm vm(small_configuration());
      vm.on_queue([&](VZVirtualMachine *machine) {
        const auto result = outcome;  // NOLINT(performance-unnecessary-copy-initialization): not the reference
        dispatch_semaphore_t done = answered;
        [machine startWithCompletionHandler:^(NSError *error) {
          *result = outcome_of(error);
          dispatch_semaphore_signal(done);
        }];
      });
    }
    REQUIRE(dispatch_semaphore_wait(answered, dispatch_time(DISPATCH_TIME_NOW, deadline_ns)) == 0);
    CHECK(outcome->code == VZErrorInternal);
  }
}

TEST_CASE("a stop that comes while the guest goes by itself succeeds") {
  const Quiet quiet("stop-delay=30");
  @autoreleasepool {
    Vm vm(small_configuration("simulated.exit-after=10"));
    REQUIRE(vm.start().ok());
    CHECK(vm.stop().ok());
    CHECK(vm.state() == VZVirtualMachineStateStopped);
  }
}

TEST_CASE("a fault on demand: the guest stops by itself, or with an error") {
  const Quiet quiet("guest-stops-after=5");
  @autoreleasepool {
    VzWitness *witness = [[VzWitness alloc] init];
    Vm vm(small_configuration());
    vm.watch(witness);
    REQUIRE(vm.start().ok());
    CHECK([witness waitUntilTold:"guest did stop"]);
    vz_double_set_faults("error-after=5");
    REQUIRE(vm.start().ok());
    CHECK([witness waitUntilTold:"stopped: A fault was asked for."]);
  }
}

TEST_CASE("a fault on demand: a guest that ignores the power button, until it is stopped") {
  const Quiet quiet("ignore-request-stop=1");
  @autoreleasepool {
    Vm vm(small_configuration());
    REQUIRE(vm.start().ok());
    CHECK(vm.request_stop().ok());
    CHECK(vm.state() == VZVirtualMachineStateRunning);
    CHECK(vm.stop().ok());
  }
}

TEST_CASE("a fault on demand: the network's attachment is lost") {
  const Quiet quiet("network-lost-after=5");
  @autoreleasepool {
    VZVirtualMachineConfiguration *configuration = small_configuration();
    VZVirtioNetworkDeviceConfiguration *network = [[VZVirtioNetworkDeviceConfiguration alloc] init];
    network.attachment = [[VZNATNetworkDeviceAttachment alloc] init];
    configuration.networkDevices = @[ network ];
    VzWitness *witness = [[VzWitness alloc] init];
    Vm vm(configuration);
    vm.watch(witness);
    REQUIRE(vm.start().ok());
    CHECK([witness waitUntilTold:"network lost"]);
  }
}

TEST_CASE("a delegate is not kept alive by the machine") {
  const Quiet quiet;
  @autoreleasepool {
    Vm vm(small_configuration());
    __weak VzWitness *weak = nil;
    @autoreleasepool {
      VzWitness *witness = [[VzWitness alloc] init];
      weak = witness;
      vm.on_queue([witness](VZVirtualMachine *machine) { machine.delegate = witness; });
    }
    CHECK(weak == nil);
    vm.on_queue([](VZVirtualMachine *machine) { CHECK(machine.delegate == nil); });
  }
}
