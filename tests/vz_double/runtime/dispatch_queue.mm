// SPDX-License-Identifier: Apache-2.0
// Serial queues: one thread each, that sleeps while there is nothing to do.
#include "dispatch_queue.hpp"

#import <Foundation/Foundation.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace mvm::vz_double {
namespace {

std::atomic<int> live{0};

struct Work {
  dispatch_queue_t queue;  // lives until its blocks ran, as in libdispatch
  dispatch_block_t block;
  uint64_t id = 0;
};

// A queue's, shared with its thread.
class Lane {
 public:
  explicit Lane(const char *label) : label_(label != nullptr ? label : "") {}

  void add(Work work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_.push_back(std::move(work));
    changed_.notify_one();
  }

  // Gives back what drop() takes.
  uint64_t add_later(Clock::time_point when, Work work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    work.id = ++last_id_;
    later_.emplace(when, std::move(work));
    changed_.notify_one();
    return last_id_;
  }

  // Takes back what has not begun to run.
  void drop(uint64_t id) {
    Work dropped;  // goes after the lock: what it holds may post
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(later_.begin(), later_.end(), [id](const auto &l) { return l.second.id == id; });
    if (found == later_.end()) return;
    dropped = std::move(found->second);
    later_.erase(found);
  }

  void close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    changed_.notify_one();
  }

  void run();

  const std::string &label() const { return label_; }

  void set_specific(const void *key, void *value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    specific_[key] = value;
  }

  void *specific(const void *key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = specific_.find(key);
    return found == specific_.end() ? nullptr : found->second;
  }

 private:
  bool next(Work &work);
  void take_due();

  const std::string label_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> ready_;
  std::multimap<Clock::time_point, Work> later_;
  std::map<const void *, void *> specific_;
  bool closed_ = false;
  uint64_t last_id_ = 0;
};

thread_local Lane *current = nullptr;

void Lane::take_due() {
  while (!later_.empty() && later_.begin()->first <= Clock::now()) {
    ready_.push_back(std::move(later_.begin()->second));
    later_.erase(later_.begin());
  }
}

bool Lane::next(Work &work) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    take_due();
    if (!ready_.empty()) {
      work = std::move(ready_.front());
      ready_.pop_front();
      return true;
    }
    if (closed_) return false;
    if (later_.empty()) {
      changed_.wait(lock);
    } else {
      const auto due = later_.begin()->first;
      changed_.wait_until(lock, due);
    }
  }
}

void Lane::run() {
  current = this;
  for (Work work; next(work); work = Work{}) {
    @autoreleasepool {
      work.block();
      work.block = nil;  // what it held dies here, on the queue
    }
  }
}

}  // namespace
}  // namespace mvm::vz_double

using mvm::vz_double::Lane;

@interface MvmQueue : NSObject <OS_dispatch_queue> {
 @public
  std::shared_ptr<Lane> lane;
}
@end

@implementation MvmQueue
- (void)dealloc {
  lane->close();
}
@end

namespace mvm::vz_double {
namespace {

Lane &lane_of(dispatch_queue_t queue) { return *static_cast<MvmQueue *>(queue)->lane; }

[[noreturn]] void bug_in_client(const char *what, dispatch_queue_t queue) {
  std::fprintf(stderr, "BUG IN CLIENT OF LIBDISPATCH: %s [%s]\n", what, lane_of(queue).label().c_str());
  std::abort();
}

}  // namespace

bool is_current(dispatch_queue_t queue) { return current == &lane_of(queue); }

int live_queues() { return live; }

Clock::time_point time_point_of(dispatch_time_t when) { return Clock::time_point(std::chrono::nanoseconds(when)); }

}  // namespace mvm::vz_double

using namespace mvm::vz_double;

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t) {
  static std::once_flag mended;
  std::call_once(mended, mend_file_handles);
  MvmQueue *queue = [[MvmQueue alloc] init];
  queue->lane = std::make_shared<Lane>(label);
  ++live;
  std::thread([lane = queue->lane]() mutable {
    lane->run();
    lane.reset();
    --live;
  }).detach();
  return queue;
}

dispatch_queue_attr_t dispatch_queue_attr_make_with_qos_class(dispatch_queue_attr_t attr, dispatch_qos_class_t, int) {
  return attr;
}

const char *dispatch_queue_get_label(dispatch_queue_t queue) { return lane_of(queue).label().c_str(); }

void dispatch_async(dispatch_queue_t queue, dispatch_block_t block) { lane_of(queue).add({queue, [block copy], 0}); }

void dispatch_async_f(dispatch_queue_t queue, void *context, dispatch_function_t work) {
  dispatch_async(queue, ^{
    work(context);
  });
}

void dispatch_after(dispatch_time_t when, dispatch_queue_t queue, dispatch_block_t block) {
  if (when == DISPATCH_TIME_FOREVER) return;
  if (when == DISPATCH_TIME_NOW) return dispatch_async(queue, block);
  lane_of(queue).add_later(time_point_of(when), {queue, [block copy], 0});
}

void dispatch_sync(dispatch_queue_t queue, DISPATCH_NOESCAPE dispatch_block_t block) {
  if (is_current(queue)) bug_in_client("dispatch_sync called on queue already owned by current thread", queue);
  dispatch_semaphore_t done = dispatch_semaphore_create(0);
  // It lives in the caller's frame, which may be left before this thread lets go of what it holds.
  __unsafe_unretained dispatch_block_t borrowed = block;
  dispatch_async(queue, ^{
    borrowed();
    dispatch_semaphore_signal(done);
  });
  dispatch_semaphore_wait(done, DISPATCH_TIME_FOREVER);
}

void dispatch_assert_queue(dispatch_queue_t queue) {
  if (!is_current(queue)) bug_in_client("block was expected to execute on queue", queue);
}

void dispatch_assert_queue_not(dispatch_queue_t queue) {
  if (is_current(queue)) bug_in_client("block was expected not to execute on queue", queue);
}

void dispatch_queue_set_specific(dispatch_queue_t queue, const void *key, void *context, dispatch_function_t destroy) {
  if (destroy != nullptr) bug_in_client("the double's dispatch_queue_set_specific takes no destructor", queue);
  lane_of(queue).set_specific(key, context);
}

void *dispatch_get_specific(const void *key) { return current == nullptr ? nullptr : current->specific(key); }

dispatch_time_t dispatch_time(dispatch_time_t base, int64_t delta_ns) {
  if (base == DISPATCH_TIME_FOREVER) return base;
  if (base == DISPATCH_TIME_NOW) base = static_cast<dispatch_time_t>(Clock::now().time_since_epoch().count());
  return base + static_cast<dispatch_time_t>(delta_ns);
}

// ---- timers

const struct dispatch_source_type_s _dispatch_source_type_timer = {0};

@interface MvmTimer : NSObject <OS_dispatch_source> {
 @public
  std::mutex mutex;
  dispatch_queue_t queue;
  dispatch_block_t handler;
  dispatch_time_t start;
  uint64_t work;
  bool resumed;
}
- (void)fire;
@end

@implementation MvmTimer
- (void)fire {
  dispatch_block_t block = nil;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    block = handler;
  }
  if (block != nil) block();
}

- (void)dealloc {
  if (!resumed) bug_in_client("release of a suspended object", queue);
}
@end

static MvmTimer *timer_of(dispatch_object_t object) { return static_cast<MvmTimer *>(object); }

dispatch_source_t dispatch_source_create(dispatch_source_type_t type, uintptr_t, uintptr_t, dispatch_queue_t queue) {
  if (type != DISPATCH_SOURCE_TYPE_TIMER) bug_in_client("the double has no sources but timers", queue);
  MvmTimer *timer = [[MvmTimer alloc] init];
  timer->queue = queue;
  return timer;
}

void dispatch_source_set_timer(dispatch_source_t source, dispatch_time_t start, uint64_t interval, uint64_t) {
  MvmTimer *timer = timer_of(source);
  if (interval != DISPATCH_TIME_FOREVER) bug_in_client("the double's timers fire once", timer->queue);
  timer->start = start;
}

void dispatch_source_set_event_handler(dispatch_source_t source, dispatch_block_t handler) {
  timer_of(source)->handler = [handler copy];
}

void dispatch_resume(dispatch_object_t object) {
  MvmTimer *timer = timer_of(object);
  timer->resumed = true;
  const auto when = timer->start == DISPATCH_TIME_NOW ? Clock::now() : time_point_of(timer->start);
  // It lives until it fired or was cancelled, as in libdispatch.
  timer->work = lane_of(timer->queue).add_later(when, {timer->queue,
                                                       ^{
                                                         [timer fire];
}
, 0
});
}

void dispatch_source_cancel(dispatch_source_t source) {
  MvmTimer *timer = timer_of(source);
  dispatch_block_t handler = nil;
  {
    const std::lock_guard<std::mutex> lock(timer->mutex);
    handler = std::exchange(timer->handler, nil);
  }
  lane_of(timer->queue).drop(timer->work);
  if (handler == nil || is_current(timer->queue)) return;
  // It goes there, with what it holds.
  dispatch_block_t last = std::exchange(handler, nil);
  dispatch_async(timer->queue, ^{
    (void)last;
  });
}
