// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/plugin_hypervisor.hpp"
#include "store/crash_note.hpp"

namespace mvm::host {

// Notes calls into the plugin where a later reader finds them.
class NotingObserver final : public CallObserver {
 public:
  explicit NotingObserver(CrashNote& note) : note_(note) {}
  void call_begins(std::string_view call) noexcept override { note_.call_begins(call); }
  void call_returned() noexcept override { note_.call_returned(); }

 private:
  CrashNote& note_;
};

}  // namespace mvm::host
