// SPDX-License-Identifier: Apache-2.0
// The blocks' run time. Debian's own two do not serve: libBlocksRuntime never retains what a block captures, and the
// one inside libgnustep-base lacks the global block's class. Here blocks are objects, as on macOS.
// Compiled with -fobjc-runtime=gcc and without ARC. The layout: clang's Block-ABI-Apple.
#import <Foundation/Foundation.h>
#include <objc/blocks_runtime.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { needs_free = 1 << 24, has_copy_dispose = 1 << 25, is_global = 1 << 28, count_mask = 0xffff };
enum { field_object = 3, field_block = 7, field_byref = 8, field_weak = 16, field_byref_caller = 128 };

struct descriptor {
  unsigned long reserved;
  unsigned long size;
  void (*copy)(void *to, const void *from);
  void (*dispose)(const void *block);
};

struct block {
  Class isa;
  int flags;
  int reserved;
  void (*invoke)(void *, ...);
  struct descriptor *descriptor;
};

// A __block variable. What it holds follows the header, the two helpers first where there are any.
struct byref {
  void *isa;
  struct byref *forwarding;
  int flags;
  int size;
};

struct byref_helpers {
  void (*keep)(void *to, void *from);
  void (*destroy)(void *byref);
};

// Others may count at the same time.
static int flags_of(const int *flags) { return __atomic_load_n(flags, __ATOMIC_RELAXED); }

@interface MvmBlock : NSObject
@end
@interface MvmStackBlock : MvmBlock
@end
@interface MvmGlobalBlock : MvmBlock
@end
@interface MvmHeapBlock : MvmBlock
@end

@implementation MvmBlock
- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  return (id)_Block_copy(self);
}
- (id)copy {
  return (id)_Block_copy(self);
}
- (id)retain {
  return (id)_Block_copy(self);
}
- (oneway void)release {
  _Block_release(self);
}
- (NSUInteger)retainCount {
  return (NSUInteger)(flags_of(&((struct block *)self)->flags) & count_mask);
}
@end
@implementation MvmStackBlock
@end
@implementation MvmGlobalBlock
@end
@implementation MvmHeapBlock
@end

// The compiler puts these two symbols into every block literal.
__asm__(".globl _NSConcreteStackBlock\n"
        ".set _NSConcreteStackBlock, _OBJC_CLASS_MvmStackBlock\n"
        ".globl _NSConcreteGlobalBlock\n"
        ".set _NSConcreteGlobalBlock, _OBJC_CLASS_MvmGlobalBlock\n");

// Asked for once: a message is dear beside a copy.
static Class heap_block_class(void) {
  static void *known;
  void *found = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
  if (found == NULL) {
    found = (void *)[MvmHeapBlock class];
    __atomic_store_n(&known, found, __ATOMIC_RELEASE);
  }
  return (Class)found;
}

static void take(int *flags) { __atomic_fetch_add(flags, 1, __ATOMIC_RELAXED); }

static bool drop_was_last(int *flags) { return (__atomic_sub_fetch(flags, 1, __ATOMIC_ACQ_REL) & count_mask) == 0; }

void *_Block_copy(const void *pointer) {
  struct block *from = (struct block *)pointer;
  if (from == NULL) return from;
  const int flags = flags_of(&from->flags);
  if ((flags & is_global) != 0) return from;
  if ((flags & needs_free) != 0) {
    take(&from->flags);
    return from;
  }
  struct block *to = malloc(from->descriptor->size);
  if (to == NULL) abort();
  memcpy(to, from, from->descriptor->size);
  to->flags = (from->flags & ~count_mask) | needs_free | 1;
  to->isa = heap_block_class();
  if ((to->flags & has_copy_dispose) != 0) to->descriptor->copy(to, from);
  return to;
}

void _Block_release(const void *pointer) {
  struct block *block = (struct block *)pointer;
  if (block == NULL) return;
  const int flags = flags_of(&block->flags);
  if ((flags & is_global) != 0 || (flags & needs_free) == 0 || !drop_was_last(&block->flags)) return;
  if ((block->flags & has_copy_dispose) != 0) block->descriptor->dispose(block);
  free(block);
}

static struct byref *move_to_heap(struct byref *from) {
  struct byref *to = malloc((size_t)from->size);
  if (to == NULL) abort();
  memcpy(to, from, (size_t)from->size);
  to->flags = (from->flags & ~count_mask) | needs_free | 2;  // the frame that declares it, and this block
  to->forwarding = to;
  from->forwarding = to;
  if ((from->flags & has_copy_dispose) != 0) ((struct byref_helpers *)(to + 1))->keep(to, from);
  return to;
}

static struct byref *take_byref(struct byref *variable) {
  struct byref *at = variable->forwarding;
  if ((flags_of(&at->flags) & needs_free) == 0) return move_to_heap(at);
  take(&at->flags);
  return at;
}

static void drop_byref(struct byref *variable) {
  struct byref *at = variable->forwarding;
  if ((flags_of(&at->flags) & needs_free) == 0 || !drop_was_last(&at->flags)) return;
  if ((at->flags & has_copy_dispose) != 0) ((struct byref_helpers *)(at + 1))->destroy(at);
  free(at);
}

void _Block_object_assign(void *to, const void *object, int field) {
  if ((field & field_byref) != 0) {
    *(void **)to = take_byref((struct byref *)object);
  } else if ((field & (field_byref_caller | field_weak)) != 0) {
    *(const void **)to = object;  // a __block object without ARC: not retained
  } else if ((field & field_block) == field_block) {
    *(void **)to = _Block_copy(object);
  } else if ((field & field_object) == field_object) {
    *(id *)to = [(id)object retain];
  }
}

void _Block_object_dispose(const void *object, int field) {
  if ((field & field_byref) != 0) {
    drop_byref((struct byref *)object);
  } else if ((field & (field_byref_caller | field_weak)) != 0) {
    return;
  } else if ((field & field_block) == field_block) {
    _Block_release(object);
  } else if ((field & field_object) == field_object) {
    [(id)object release];
  }
}
