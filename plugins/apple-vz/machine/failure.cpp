// SPDX-License-Identifier: Apache-2.0
#include "failure.hpp"

#include <cerrno>
#include <iterator>
#include <string_view>

namespace mvm::apple_vz {
namespace {

constexpr std::string_view vz_domain = "VZErrorDomain";
constexpr std::string_view posix_domain = "NSPOSIXErrorDomain";

// VZError.h
struct Code {
  int64_t code;
  const char* symbol;
  mvm_status status;
};

constexpr Code codes[] = {
    {1, "VZErrorInternal", MVM_ERR_INTERNAL},
    {2, "VZErrorInvalidVirtualMachineConfiguration", MVM_ERR_INVALID},
    {3, "VZErrorInvalidVirtualMachineState", MVM_ERR_BUSY},
    {4, "VZErrorInvalidVirtualMachineStateTransition", MVM_ERR_BUSY},
    {5, "VZErrorInvalidDiskImage", MVM_ERR_INVALID},
    {6, "VZErrorVirtualMachineLimitExceeded", MVM_ERR_BUSY},
    {7, "VZErrorNetworkError", MVM_ERR_INTERNAL},
    {8, "VZErrorOutOfDiskSpace", MVM_ERR_INTERNAL},
    {9, "VZErrorOperationCancelled", MVM_ERR_CANCELLED},
    {10, "VZErrorNotSupported", MVM_ERR_UNSUPPORTED},
    {11, "VZErrorSave", MVM_ERR_INTERNAL},
    {12, "VZErrorRestore", MVM_ERR_INTERNAL},
};

const Code* code_of(const FrameworkError& error) {
  if (error.domain != vz_domain) return nullptr;
  for (const Code& code : codes) {
    if (code.code == error.code) return &code;
  }
  return nullptr;
}

template <class Fn>
bool any_layer(const FrameworkError& error, const Fn& fn) {
  if (fn(error)) return true;
  for (const FrameworkError& under : error.underlying) {
    if (any_layer(under, fn)) return true;
  }
  return false;
}

bool is_posix(const FrameworkError& error, int number) {
  return any_layer(
      error, [number](const FrameworkError& layer) { return layer.domain == posix_domain && layer.code == number; });
}

bool mentions(const FrameworkError& error, std::string_view word) {
  return any_layer(error, [word](const FrameworkError& layer) {
    return layer.description.find(word) != std::string::npos || layer.reason.find(word) != std::string::npos;
  });
}

bool is_vz(const FrameworkError& error, int64_t code) { return error.domain == vz_domain && error.code == code; }

// What people met, and what mended it. The first that fits.
struct Remedy {
  bool (*fits)(const FrameworkError& error);
  const char* text;
  mvm_status status;  // MVM_OK: the code's own
};

constexpr Remedy remedies[] = {
    {[](auto& e) { return mentions(e, "entitlement"); },
     "sign mvmhost with the entitlement com.apple.security.virtualization; `mvmhost doctor` says the command",
     MVM_ERR_DENIED},  // vfkit#91
    {[](auto& e) { return is_posix(e, EAGAIN) || mentions(e, "storage device attachment is invalid"); },
     "a disk image is in use: stop the VM or the program that has it open, or attach it read-only in both",
     MVM_ERR_BUSY},  // tart#865, mvm#549
    {[](auto& e) { return is_vz(e, 6); }, "stop another VM first: macOS limits how many run at once", MVM_OK},
    {[](auto& e) { return is_vz(e, 8) || is_posix(e, ENOSPC); }, "make room on the disk", MVM_OK},
    {[](auto& e) { return is_vz(e, 1) && e.reason.empty() && e.underlying.empty(); },
     "the framework says no more; most often the kernel is not an uncompressed Image, or the initrd is no archive",
     MVM_OK},  // lima#3705
};

const Remedy* remedy_of(const FrameworkError& error) {
  for (const Remedy& remedy : remedies) {
    if (remedy.fits(error)) return &remedy;
  }
  return nullptr;
}

std::string layer_in_words(const FrameworkError& error) {
  std::string text;
  if (error.domain != "mvm") {  // else our own words
    text = error.domain;
    if (error.code != 0) text += " " + std::to_string(error.code);
    if (const Code* const code = code_of(error)) text += std::string(" (") + code->symbol + ")";
    text += ": ";
  }
  text += error.description;
  if (!error.reason.empty() && error.reason != error.description) text += " " + error.reason;
  for (const FrameworkError& under : error.underlying) text += " [" + layer_in_words(under) + "]";
  return text;
}

mvm_status status_of(const FrameworkError& error) {
  const Remedy* const remedy = remedy_of(error);
  if (remedy != nullptr && remedy->status != MVM_OK) return remedy->status;
  const Code* const code = code_of(error);
  return code == nullptr ? MVM_ERR_INTERNAL : code->status;
}

}  // namespace

std::string words_of(const FrameworkError& error) {
  const Remedy* const remedy = remedy_of(error);
  return layer_in_words(error) + (remedy == nullptr ? "" : std::string("; ") + remedy->text);
}

Error explain(const std::string& subject, const FrameworkError& error) {
  return {status_of(error), subject + ": " + words_of(error)};
}

bool nobody_listens(const FrameworkError& error) {
  return is_posix(error, ECONNRESET) || is_posix(error, ECONNREFUSED);
}

}  // namespace mvm::apple_vz
