// SPDX-License-Identifier: Apache-2.0
// What Apple's compiler and libraries promise, and Debian's do not: the run time under the double.
#include <atomic>
#include <thread>
#include <vector>

#import <Virtualization/Virtualization.h>

#include "quiet.hpp"
#include "vm.hpp"

using namespace mvm::vz_double::test;

namespace {

dispatch_queue_t new_queue() { return dispatch_queue_create("org.mvm.runtime", DISPATCH_QUEUE_SERIAL); }

dispatch_time_t in_ms(int64_t ms) { return dispatch_time(DISPATCH_TIME_NOW, ms * static_cast<int64_t>(NSEC_PER_MSEC)); }

}  // namespace

@interface RuntimeProbe : NSObject
@property(copy) NSString *name;
@property(weak) RuntimeProbe *other;
@property(copy) void (^handler)(void);
@end
@implementation RuntimeProbe
@end

TEST_CASE("a block keeps what it captured, and lets go of it when it dies") {
  __weak RuntimeProbe *weak = nil;
  @autoreleasepool {
    NSMutableArray *blocks = [NSMutableArray array];
    @autoreleasepool {
      RuntimeProbe *probe = [[RuntimeProbe alloc] init];
      weak = probe;
      [blocks addObject:^{
        probe.name = @"called";
      }];
    }
    CHECK(weak != nil);
    void (^block)(void) = blocks[0];
    block();
    CHECK([weak.name isEqual:@"called"]);
    block = nil;
    [blocks removeAllObjects];
  }
  CHECK(weak == nil);
}

TEST_CASE("a __block variable lives as long as the blocks that share it") {
  int (^count)(void) = nil;
  @autoreleasepool {
    __block int calls = 0;
    count = [^{
      return ++calls;
    } copy];
    ++calls;
  }
  CHECK(count() == 2);
  CHECK(count() == 3);
}

TEST_CASE("a weak property is nil when its object is gone, a copied one is a copy") {
  @autoreleasepool {
    RuntimeProbe *probe = [[RuntimeProbe alloc] init];
    @autoreleasepool {
      RuntimeProbe *other = [[RuntimeProbe alloc] init];
      probe.other = other;
      CHECK(probe.other == other);
    }
    CHECK(probe.other == nil);
    NSMutableString *name = [NSMutableString stringWithString:@"one"];
    probe.name = name;
    [name appendString:@" and more"];
    CHECK([probe.name isEqual:@"one"]);
  }
}

TEST_CASE("no thread finds a weak reference to an object that is half dead") {
  for (int round = 0; round < 200; ++round) {
    __weak RuntimeProbe *weak = nil;
    std::atomic<bool> go{false};
    std::atomic<int> wrong{0};
    std::thread reader;
    @autoreleasepool {
      RuntimeProbe *probe = [[RuntimeProbe alloc] init];
      probe.name = @"whole";
      weak = probe;
      auto *reference = &weak;
      reader = std::thread([&go, &wrong, reference] {
        while (!go) std::this_thread::yield();
        @autoreleasepool {
          for (;;) {
            RuntimeProbe *found = *reference;
            if (found == nil) return;
            if (![found.name isEqual:@"whole"]) ++wrong;
          }
        }
      });
      go = true;
    }
    reader.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("a queue runs its blocks one after another, in their order, on a thread of its own") {
  const Quiet quiet;
  @autoreleasepool {
    dispatch_queue_t queue = new_queue();
    const auto order = std::make_shared<std::vector<int>>();
    const std::thread::id here = std::this_thread::get_id();
    const auto elsewhere = std::make_shared<bool>(false);
    for (int n = 0; n < 100; ++n) {
      dispatch_async(queue, ^{
        order->push_back(n);
        *elsewhere = std::this_thread::get_id() != here;
      });
    }
    dispatch_sync(queue, ^{
                  });
    REQUIRE(order->size() == 100);
    CHECK(std::is_sorted(order->begin(), order->end()));
    CHECK(*elsewhere);
  }
}

TEST_CASE("what is to run later runs when its time has come, and keeps its queue until then") {
  const Quiet quiet;
  @autoreleasepool {
    dispatch_semaphore_t ran = dispatch_semaphore_create(0);
    const auto order = std::make_shared<std::string>();
    @autoreleasepool {
      dispatch_queue_t queue = new_queue();
      dispatch_after(in_ms(20), queue, ^{
        *order += "second";
        dispatch_semaphore_signal(ran);
      });
      dispatch_after(in_ms(5), queue, ^{
        *order += "first ";
      });
    }
    REQUIRE(dispatch_semaphore_wait(ran, in_ms(10000)) == 0);
    CHECK(*order == "first second");
    CHECK(dispatch_semaphore_wait(ran, in_ms(1)) != 0);
    CHECK(dispatch_semaphore_wait(ran, DISPATCH_TIME_NOW) != 0);
  }
}

TEST_CASE("a group is waited for until all have left it") {
  const Quiet quiet;
  @autoreleasepool {
    dispatch_group_t group = dispatch_group_create();
    dispatch_queue_t queue = new_queue();
    CHECK(dispatch_group_wait(group, DISPATCH_TIME_NOW) == 0);
    dispatch_group_enter(group);
    CHECK(dispatch_group_wait(group, in_ms(1)) != 0);
    dispatch_async(queue, ^{
      dispatch_group_leave(group);
    });
    CHECK(dispatch_group_wait(group, in_ms(10000)) == 0);
  }
}

TEST_CASE("a queue knows what was set for it, on its own thread alone; once is once") {
  const Quiet quiet;
  @autoreleasepool {
    static char key;
    static dispatch_once_t once;
    int runs = 0;
    int *count = &runs;
    dispatch_queue_t queue = new_queue();
    dispatch_queue_set_specific(queue, &key, &key, nullptr);
    CHECK(dispatch_get_specific(&key) == nullptr);
    void *found = nullptr;
    void **result = &found;
    dispatch_sync(queue, ^{
      *result = dispatch_get_specific(&key);
      for (int n = 0; n < 3; ++n) {
        dispatch_once(&once, ^{
          ++*count;
        });
      }
    });
    CHECK(found == &key);
    CHECK(runs == 1);
    CHECK(std::string(dispatch_queue_get_label(queue)) == "org.mvm.runtime");
  }
}
