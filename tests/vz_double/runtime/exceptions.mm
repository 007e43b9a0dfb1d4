// SPDX-License-Identifier: Apache-2.0
// Objective-C's exceptions travel as C++ ones, so that one personality routine serves @catch, catch and destructors in
// one file, as on macOS. The types are those that clang's -fobjc-runtime=gnustep code refers to by name.
// Compiled with -fobjc-runtime=gcc and without ARC. Code made so cannot catch what is thrown from here: it only throws.
#import <Foundation/Foundation.h>
#include <cxxabi.h>
#include <objc/runtime.h>
#include <unwind.h>

#include <typeinfo>

namespace gnustep::libobjc {

struct __objc_type_info : std::type_info {
  explicit __objc_type_info(const char *name) : std::type_info(name) {}
  bool __is_pointer_p() const override { return true; }
  bool __do_catch(const std::type_info *, void **, unsigned) const override { return false; }
};

// @catch (id)
struct __objc_id_type_info : __objc_type_info {
  __objc_id_type_info();
  ~__objc_id_type_info() override;
  bool __do_catch(const std::type_info *thrown, void **, unsigned) const override;
};

// @catch (NSException *)
struct __objc_class_type_info : __objc_type_info {
  explicit __objc_class_type_info(const char *name);
  ~__objc_class_type_info() override;
  bool __do_catch(const std::type_info *thrown, void **object, unsigned) const override;
};

static bool is_object(const std::type_info *type) { return dynamic_cast<const __objc_id_type_info *>(type) != nullptr; }

__objc_id_type_info::__objc_id_type_info() : __objc_type_info("@id") {}
__objc_id_type_info::~__objc_id_type_info() = default;
bool __objc_id_type_info::__do_catch(const std::type_info *thrown, void **, unsigned) const {
  return is_object(thrown);
}

__objc_class_type_info::__objc_class_type_info(const char *name) : __objc_type_info(name) {}
__objc_class_type_info::~__objc_class_type_info() = default;
bool __objc_class_type_info::__do_catch(const std::type_info *thrown, void **object, unsigned) const {
  if (!is_object(thrown)) return false;
  const Class wanted = static_cast<Class>(objc_getClass(name()));
  return wanted != Nil && [static_cast<id>(*object) isKindOfClass:wanted];
}

}  // namespace gnustep::libobjc

extern "C" {

gnustep::libobjc::__objc_id_type_info __objc_id_type_info;

_Unwind_Reason_Code __gxx_personality_v0(int, _Unwind_Action, _Unwind_Exception_Class, struct _Unwind_Exception *,
                                         struct _Unwind_Context *);

_Unwind_Reason_Code __gnustep_objcxx_personality_v0(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                                                    struct _Unwind_Exception *exception,
                                                    struct _Unwind_Context *context) {
  return __gxx_personality_v0(version, actions, kind, exception, context);
}

_Unwind_Reason_Code __gnustep_objc_personality_v0(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                                                  struct _Unwind_Exception *exception,
                                                  struct _Unwind_Context *context) {
  return __gxx_personality_v0(version, actions, kind, exception, context);
}

void __cxa_throw(void *thrown, std::type_info *type, void (*destroy)(void *)) __attribute__((noreturn));
void *__cxa_allocate_exception(size_t size) noexcept;

void objc_exception_throw(id object) {
  auto *thrown = static_cast<id *>(__cxa_allocate_exception(sizeof(id)));
  *thrown = [object retain];
  __cxa_throw(thrown, &__objc_id_type_info, [](void *gone) { [*static_cast<id *>(gone) autorelease]; });
}

void objc_exception_rethrow(void *) { throw; }
}
