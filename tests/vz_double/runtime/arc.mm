// SPDX-License-Identifier: Apache-2.0
// What ARC's code calls: clang's "Objective-C Automatic Reference Counting", runtime support. Weak references: weak.mm.
// Compiled with -fobjc-runtime=gcc and without ARC.
#import <Foundation/Foundation.h>
#include <objc/blocks_runtime.h>

extern "C" {

id objc_retain(id object) { return [object retain]; }
void objc_release(id object) { [object release]; }
id objc_autorelease(id object) { return [object autorelease]; }
id objc_retainAutorelease(id object) { return [[object retain] autorelease]; }
id objc_retainAutoreleasedReturnValue(id object) { return [object retain]; }
id objc_unsafeClaimAutoreleasedReturnValue(id object) { return object; }
id objc_autoreleaseReturnValue(id object) { return [object autorelease]; }
id objc_retainAutoreleaseReturnValue(id object) { return [[object retain] autorelease]; }
id objc_retainBlock(id block) { return static_cast<id>(_Block_copy(block)); }

void objc_storeStrong(id *variable, id value) {
  const id old = *variable;
  *variable = [value retain];
  [old release];
}

void *objc_autoreleasePoolPush() { return [[NSAutoreleasePool alloc] init]; }
void objc_autoreleasePoolPop(void *pool) { [static_cast<NSAutoreleasePool *>(pool) release]; }

static id *ivar_at(id object, ptrdiff_t offset) {
  return reinterpret_cast<id *>(reinterpret_cast<char *>(object) + offset);
}

void objc_setProperty_nonatomic(id self, SEL, id value, ptrdiff_t offset) {
  objc_storeStrong(ivar_at(self, offset), value);
}

void objc_setProperty_atomic(id self, SEL, id value, ptrdiff_t offset) {
  @synchronized(self) {
    objc_storeStrong(ivar_at(self, offset), value);
  }
}

void objc_setProperty_nonatomic_copy(id self, SEL, id value, ptrdiff_t offset) {
  const id copy = [value copy];
  objc_storeStrong(ivar_at(self, offset), copy);
  [copy release];
}

void objc_setProperty_atomic_copy(id self, SEL, id value, ptrdiff_t offset) {
  const id copy = [value copy];
  @synchronized(self) {
    objc_storeStrong(ivar_at(self, offset), copy);
  }
  [copy release];
}
}
