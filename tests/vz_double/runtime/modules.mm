// SPDX-License-Identifier: Apache-2.0
// Loads code that clang made with -fobjc-runtime=gnustep-1.9, which is what ARC takes, into GCC's libobjc: a class is
// put in the older shape before libobjc sees it. And finds methods for such code.
// Compiled with -fobjc-runtime=gcc and without ARC.
#import <Foundation/Foundation.h>
#include <dlfcn.h>
#include <objc/message.h>
#include <objc/runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "module_layout.hpp"

using namespace mvm::vz_double;

namespace {

constexpr unsigned long gcc_abi_version = 8;
// In the newer shape "has the newer fields"; in GCC's "is still being constructed".
constexpr unsigned long info_new_abi = 0x10;
// libobjc tells the two shapes of a protocol by what stands where the class will be.
void *const old_protocol = reinterpret_cast<void *>(2);
void *const new_protocol = reinterpret_cast<void *>(3);
constexpr long gcc_class_words = 13;

void convert(ProtocolList *protocols) {
  for (; protocols != nullptr; protocols = protocols->next) {
    for (size_t n = 0; n < protocols->count; ++n) {
      Protocol_ *protocol = protocols->list[n];
      if (protocol->isa != new_protocol) continue;
      protocol->isa = old_protocol;
      convert(protocol->protocols);
    }
  }
}

void convert(SymbolTable *symbols, Class_ *clazz);

// Of a class of the same module, or of one that is loaded.
long size_of(SymbolTable *symbols, const char *name) {
  for (int n = 0; n < symbols->class_count; ++n) {
    auto *clazz = static_cast<Class_ *>(symbols->definitions[n]);
    if (std::strcmp(clazz->name, name) != 0) continue;
    convert(symbols, clazz);
    return clazz->instance_size;
  }
  const Class loaded = static_cast<Class>(objc_getClass(name));
  if (loaded == Nil) {
    std::fprintf(stderr, "vz_double: class %s is not loaded when a class made from it is\n", name);
    std::abort();
  }
  return static_cast<long>(class_getInstanceSize(loaded));
}

// A size of 0 or less: only the instance's own variables are counted, and their offsets begin after the superclass's.
void place_ivars(SymbolTable *symbols, Class_ *clazz) {
  if (clazz->instance_size > 0) return;
  const long start = clazz->superclass_name != nullptr ? size_of(symbols, clazz->superclass_name) : 0;
  clazz->instance_size = start - clazz->instance_size;
  if (clazz->ivars == nullptr) return;
  for (int n = 0; n < clazz->ivars->count; ++n) {
    int *offset = &clazz->ivars->list[n].offset;
    *offset += static_cast<int>(start);
    if (clazz->ivar_offsets != nullptr && clazz->ivar_offsets[n] != offset) {
      *clazz->ivar_offsets[n] += static_cast<int>(start);
    }
  }
}

void convert(SymbolTable *symbols, Class_ *clazz) {
  if ((clazz->info & info_new_abi) == 0) return;
  clazz->info &= ~info_new_abi;
  clazz->isa->info &= ~info_new_abi;
  place_ivars(symbols, clazz);
  clazz->isa->instance_size = gcc_class_words * static_cast<long>(sizeof(void *));
  convert(clazz->protocols);
  convert(clazz->isa->protocols);
}

void convert(Module *module) {
  SymbolTable *symbols = module->symbols;
  module->version = gcc_abi_version;
  module->size = sizeof *module;
  for (int n = 0; n < symbols->class_count; ++n) convert(symbols, static_cast<Class_ *>(symbols->definitions[n]));
  for (int n = 0; n < symbols->category_count; ++n) {
    convert(static_cast<Category_ *>(symbols->definitions[symbols->class_count + n])->protocols);
  }
}

struct Slot {
  void *owner;
  void *cached_for;
  const char *types;
  int version;
  IMP method;
};

Slot *slot_for(IMP method) {
  static thread_local Slot slot;
  slot.method = method;
  return &slot;
}

}  // namespace

extern "C" {

// Every module's constructor calls it; libobjc's own comes after this one in the order of libraries.
void __objc_exec_class(void *module) {
  static const auto next = reinterpret_cast<void (*)(void *)>(dlsym(RTLD_NEXT, "__objc_exec_class"));
  auto *loaded = static_cast<Module *>(module);
  if (loaded->version != gcc_abi_version) convert(loaded);
  next(module);
}

Slot *objc_msg_lookup_sender(id *receiver, SEL selector, id) { return slot_for(objc_msg_lookup(*receiver, selector)); }

Slot *objc_slot_lookup_super(struct objc_super *super, SEL selector) {
  return slot_for(objc_msg_lookup_super(super, selector));
}
}
