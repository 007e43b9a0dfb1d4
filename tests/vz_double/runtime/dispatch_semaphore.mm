// SPDX-License-Identifier: Apache-2.0
// Semaphores, groups and once.
#import <Foundation/Foundation.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "dispatch_queue.hpp"

using mvm::vz_double::time_point_of;

namespace {

// 0 when it came to be before the time.
template <class Condition>
intptr_t wait_for(std::condition_variable &changed, std::unique_lock<std::mutex> &lock, dispatch_time_t until,
                  Condition condition) {
  if (until == DISPATCH_TIME_FOREVER) {
    changed.wait(lock, condition);
    return 0;
  }
  if (until == DISPATCH_TIME_NOW) return condition() ? 0 : 1;
  return changed.wait_until(lock, time_point_of(until), condition) ? 0 : 1;
}

}  // namespace

@interface MvmSemaphore : NSObject <OS_dispatch_semaphore> {
 @public
  std::mutex mutex;
  std::condition_variable changed;
  intptr_t value;
}
@end
@implementation MvmSemaphore
@end

@interface MvmGroup : NSObject <OS_dispatch_group> {
 @public
  std::mutex mutex;
  std::condition_variable changed;
  intptr_t inside;
}
@end
@implementation MvmGroup
@end

dispatch_semaphore_t dispatch_semaphore_create(intptr_t value) {
  MvmSemaphore *semaphore = [[MvmSemaphore alloc] init];
  semaphore->value = value;
  return semaphore;
}

intptr_t dispatch_semaphore_signal(dispatch_semaphore_t object) {
  MvmSemaphore *semaphore = static_cast<MvmSemaphore *>(object);
  const std::lock_guard<std::mutex> lock(semaphore->mutex);
  ++semaphore->value;
  semaphore->changed.notify_one();
  return 1;
}

intptr_t dispatch_semaphore_wait(dispatch_semaphore_t object, dispatch_time_t until) {
  MvmSemaphore *semaphore = static_cast<MvmSemaphore *>(object);
  std::unique_lock<std::mutex> lock(semaphore->mutex);
  const intptr_t timed_out = wait_for(semaphore->changed, lock, until, [semaphore] { return semaphore->value > 0; });
  if (timed_out == 0) --semaphore->value;
  return timed_out;
}

dispatch_group_t dispatch_group_create() { return [[MvmGroup alloc] init]; }

void dispatch_group_enter(dispatch_group_t object) {
  MvmGroup *group = static_cast<MvmGroup *>(object);
  const std::lock_guard<std::mutex> lock(group->mutex);
  ++group->inside;
}

void dispatch_group_leave(dispatch_group_t object) {
  MvmGroup *group = static_cast<MvmGroup *>(object);
  const std::lock_guard<std::mutex> lock(group->mutex);
  if (group->inside == 0) {
    std::fprintf(stderr, "BUG IN CLIENT OF LIBDISPATCH: unbalanced call to dispatch_group_leave()\n");
    std::abort();
  }
  if (--group->inside == 0) group->changed.notify_all();
}

intptr_t dispatch_group_wait(dispatch_group_t object, dispatch_time_t until) {
  MvmGroup *group = static_cast<MvmGroup *>(object);
  std::unique_lock<std::mutex> lock(group->mutex);
  return wait_for(group->changed, lock, until, [group] { return group->inside == 0; });
}

void dispatch_once(dispatch_once_t *predicate, DISPATCH_NOESCAPE dispatch_block_t block) {
  static std::recursive_mutex mutex;
  if (__atomic_load_n(predicate, __ATOMIC_ACQUIRE) != 0) return;
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (*predicate != 0) return;
  block();
  __atomic_store_n(predicate, 1, __ATOMIC_RELEASE);
}
