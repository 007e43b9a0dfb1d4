// SPDX-License-Identifier: Apache-2.0
#if defined(__APPLE__)
#include "doctor/findings.hpp"

#include <cstdio>

#include <CoreFoundation/CoreFoundation.h>
#include <Security/Security.h>
#include <sys/sysctl.h>

#include "base/process.hpp"
#include "doctor/mac_facts.hpp"

namespace mvm::host {
namespace {

// A CoreFoundation object that we own.
template <typename T>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (object_ != nullptr) ::CFRelease(object_);
  }
  T* out() { return &object_; }
  T get() const { return object_; }

 private:
  T object_ = nullptr;
};

int sysctl_number(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return ::sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

bool is_true(CFDictionaryRef entitlements, CFStringRef name) {
  if (entitlements == nullptr) return false;
  const auto value = static_cast<CFTypeRef>(::CFDictionaryGetValue(entitlements, name));
  return value != nullptr && ::CFGetTypeID(value) == ::CFBooleanGetTypeID() &&
         ::CFBooleanGetValue(static_cast<CFBooleanRef>(value)) != 0;
}

// Nothing is set when the executable has no signature.
void read_signature(MacFacts& facts) {
  Owned<SecCodeRef> self;
  if (::SecCodeCopySelf(kSecCSDefaultFlags, self.out()) != errSecSuccess) return;
  Owned<SecStaticCodeRef> on_disk;
  if (::SecCodeCopyStaticCode(self.get(), kSecCSDefaultFlags, on_disk.out()) != errSecSuccess) return;
  Owned<CFDictionaryRef> all;
  if (::SecCodeCopySigningInformation(on_disk.get(), kSecCSSigningInformation, all.out()) != errSecSuccess) return;
  const auto entitlements =
      static_cast<CFDictionaryRef>(::CFDictionaryGetValue(all.get(), kSecCodeInfoEntitlementsDict));
  facts.may_virtualize = is_true(entitlements, CFSTR("com.apple.security.virtualization"));
  facts.loads_any_library = is_true(entitlements, CFSTR("com.apple.security.cs.disable-library-validation"));
  uint32_t flags = 0;
  const auto number = static_cast<CFNumberRef>(::CFDictionaryGetValue(all.get(), kSecCodeInfoFlags));
  if (number != nullptr) ::CFNumberGetValue(number, kCFNumberSInt32Type, &flags);
  facts.hardened_runtime = (flags & kSecCodeSignatureRuntime) != 0;
}

}  // namespace

Findings check_system() {
  MacFacts facts;
  char version[32] = {};
  size_t size = sizeof version - 1;
  if (::sysctlbyname("kern.osproductversion", version, &size, nullptr, 0) == 0) {
    std::sscanf(version, "%d.%d", &facts.major, &facts.minor);
  }
  facts.virtualization_hardware = sysctl_number("kern.hv_support") == 1;
  facts.executable = own_executable();
  facts.entitlements = facts.executable.parent_path().parent_path() / "share/mvmhost/mvmhost.entitlements";
  read_signature(facts);
  return judge_mac(facts);
}

}  // namespace mvm::host
#endif
