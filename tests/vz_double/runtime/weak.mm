// SPDX-License-Identifier: Apache-2.0
// Weak references that are nil when their object dies: no thread finds one that is half dead.
// -[NSObject release] is replaced by one that counts down and clears the references in one step. GNUstep's counting is
// not seen by ThreadSanitizer, so the replacement says what it orders: a release happens before the dealloc.
// Compiled with -fobjc-runtime=gcc, without ARC, and without ThreadSanitizer: the locks here guard the table and must
// not order anything else, or races between threads that merely release objects would go unseen.
#import <Foundation/Foundation.h>
#include <objc/runtime.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

extern "C" {
// ThreadSanitizer's, where the process has it.
__attribute__((weak)) void __tsan_acquire(void *);
__attribute__((weak)) void __tsan_release(void *);
}

namespace {

using Reference = id *;

// Without ARC an id is a pointer like any other; the builtins take it as void * only.
void **raw(Reference reference) { return reinterpret_cast<void **>(reference); }
id load(Reference reference) { return static_cast<id>(__atomic_load_n(raw(reference), __ATOMIC_ACQUIRE)); }
void store(Reference reference, id value) {
  __atomic_store_n(raw(reference), static_cast<void *>(value), __ATOMIC_RELEASE);
}

class Stripe {
 public:
  void lock() {
    while (held_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  }
  void unlock() { held_.clear(std::memory_order_release); }

  void add(id object, Reference reference) { references_[object].push_back(reference); }

  void remove(id object, Reference reference) {
    const auto found = references_.find(object);
    if (found == references_.end()) return;
    auto &list = found->second;
    list.erase(std::remove(list.begin(), list.end(), reference), list.end());
    if (list.empty()) references_.erase(found);
  }

  void clear(id object) {
    const auto found = references_.find(object);
    if (found == references_.end()) return;
    for (const Reference reference : found->second) store(reference, nil);
    references_.erase(found);
  }

 private:
  std::atomic_flag held_ = ATOMIC_FLAG_INIT;
  std::map<id, std::vector<Reference>> references_;
};

Stripe &stripe_of(id object) {
  // Never destroyed: objects die after the statics do.
  static auto *stripes = new std::array<Stripe, 64>;
  return (*stripes)[(reinterpret_cast<uintptr_t>(object) >> 4) % stripes->size()];
}

class Lock {
 public:
  explicit Lock(Stripe &stripe) : stripe_(stripe) { stripe_.lock(); }
  ~Lock() { stripe_.unlock(); }
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;

 private:
  Stripe &stripe_;
};

bool count_down_was_last(id object) {
  Stripe &stripe = stripe_of(object);
  const Lock lock(stripe);
  if (!NSDecrementExtraRefCountWasZero(object)) return false;
  stripe.clear(object);
  return true;
}

void release(id self, SEL) {
  if (__tsan_release != nullptr) __tsan_release(self);
  if (!count_down_was_last(self)) return;
  if (__tsan_acquire != nullptr) __tsan_acquire(self);
  [self dealloc];
}

void forget(Reference reference) {
  const id object = load(reference);
  if (object == nil) return;
  Stripe &stripe = stripe_of(object);
  const Lock lock(stripe);
  stripe.remove(object, reference);
}

}  // namespace

@interface MvmWeakReferences : NSObject
@end
@implementation MvmWeakReferences
+ (void)load {
  class_replaceMethod([NSObject class], @selector(release), reinterpret_cast<IMP>(release), "Vv@:");
}
@end

extern "C" {

id objc_storeWeak(Reference reference, id value) {
  forget(reference);
  if (value != nil) {
    Stripe &stripe = stripe_of(value);
    const Lock lock(stripe);
    stripe.add(value, reference);
  }
  store(reference, value);
  return value;
}

id objc_initWeak(Reference reference, id value) {
  *reference = nil;
  return objc_storeWeak(reference, value);
}

void objc_destroyWeak(Reference reference) { forget(reference); }

id objc_loadWeakRetained(Reference reference) {
  for (;;) {
    const id object = load(reference);
    if (object == nil) return nil;
    const Lock lock(stripe_of(object));
    if (load(reference) == object) return [object retain];
  }
}

id objc_loadWeak(Reference reference) { return [objc_loadWeakRetained(reference) autorelease]; }

void objc_copyWeak(Reference to, Reference from) {
  const id object = objc_loadWeakRetained(from);
  objc_initWeak(to, object);
  [object release];
}

void objc_moveWeak(Reference to, Reference from) {
  objc_copyWeak(to, from);
  objc_destroyWeak(from);
}
}
