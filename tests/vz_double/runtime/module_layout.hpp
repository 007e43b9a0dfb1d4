// SPDX-License-Identifier: Apache-2.0
// What a compiled file hands to the Objective-C run time. From clang's CGObjCGNU.cpp and GCC's libobjc/objc-private.
#pragma once

#include <cstddef>

namespace mvm::vz_double {

struct Selector {
  const char* name;
  const char* types;
};

struct Method_ {
  const char* name;
  const char* types;
  void* implementation;
};

struct MethodList {
  MethodList* next;
  int count;
  Method_ list[1];
};

struct Ivar {
  const char* name;
  const char* type;
  int offset;
};

struct IvarList {
  int count;
  Ivar list[1];
};

struct ProtocolList;

struct Protocol_ {
  void* isa;
  const char* name;
  ProtocolList* protocols;
};

struct ProtocolList {
  ProtocolList* next;
  size_t count;
  Protocol_* list[1];
};

struct Class_ {
  Class_* isa;
  const char* superclass_name;
  const char* name;
  long version;
  unsigned long info;
  long instance_size;
  IvarList* ivars;
  MethodList* methods;
  void* dispatch_table;
  void* subclasses;
  void* siblings;
  ProtocolList* protocols;
  void* gc_object_type;
  // Only in the newer shape:
  long abi_version;
  int** ivar_offsets;
  void* properties;
  long strong_pointers;
  long weak_pointers;
};

struct Category_ {
  const char* name;
  const char* class_name;
  MethodList* instance_methods;
  MethodList* class_methods;
  ProtocolList* protocols;
};

struct SymbolTable {
  unsigned long selector_count;
  Selector* selectors;
  unsigned short class_count;
  unsigned short category_count;
  void* definitions[1];
};

struct Module {
  unsigned long version;
  unsigned long size;
  const char* name;
  SymbolTable* symbols;
};

}  // namespace mvm::vz_double
