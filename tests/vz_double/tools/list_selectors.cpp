// SPDX-License-Identifier: Apache-2.0
// Loads a library and prints what it hands to the Objective-C run time, one a line:
//   sends SELECTOR
//   adopts CLASS PROTOCOL
//   implements CLASS SELECTOR
// Exit code 2 when it cannot be loaded.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dlfcn.h>

#include "module_layout.hpp"

using namespace mvm::vz_double;

namespace {

std::string library;  // whose modules are printed

bool is_of_library(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return false;
  char* const path = ::realpath(info.dli_fname, nullptr);
  const bool same = path != nullptr && library == path;
  std::free(path);
  return same;
}

void print_methods(const char* class_name, const MethodList* methods) {
  for (; methods != nullptr; methods = methods->next) {
    for (int n = 0; n < methods->count; ++n) {
      std::printf("implements %s %s\n", class_name, methods->list[n].name);
    }
  }
}

void print_protocols(const char* class_name, const ProtocolList* protocols) {
  for (; protocols != nullptr; protocols = protocols->next) {
    for (size_t n = 0; n < protocols->count; ++n) std::printf("adopts %s %s\n", class_name, protocols->list[n]->name);
  }
}

void print(const SymbolTable& symbols) {
  for (unsigned long n = 0; n < symbols.selector_count; ++n) {
    if (symbols.selectors[n].name != nullptr) std::printf("sends %s\n", symbols.selectors[n].name);
  }
  for (int n = 0; n < symbols.class_count; ++n) {
    const auto* clazz = static_cast<const Class_*>(symbols.definitions[n]);
    print_protocols(clazz->name, clazz->protocols);
    print_methods(clazz->name, clazz->methods);
    print_methods(clazz->name, clazz->isa->methods);
  }
  for (int n = 0; n < symbols.category_count; ++n) {
    const auto* category = static_cast<const Category_*>(symbols.definitions[symbols.class_count + n]);
    print_protocols(category->class_name, category->protocols);
    print_methods(category->class_name, category->instance_methods);
    print_methods(category->class_name, category->class_methods);
  }
}

}  // namespace

// Every module's constructor calls the first of this name: before the run time turns names into numbers.
extern "C" __attribute__((visibility("default"))) void __objc_exec_class(void* module) {
  if (is_of_library(module)) print(*static_cast<const Module*>(module)->symbols);
  reinterpret_cast<void (*)(void*)>(dlsym(RTLD_NEXT, "__objc_exec_class"))(module);
}

int main(int argc, char** argv) {
  char* const path = argc == 2 ? ::realpath(argv[1], nullptr) : nullptr;
  if (path == nullptr) {
    std::fprintf(stderr, "Usage: list_selectors LIBRARY\n");
    return 2;
  }
  library = path;
  std::free(path);
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    std::fprintf(stderr, "list_selectors: %s\n", ::dlerror());
    return 2;
  }
  return 0;
}
