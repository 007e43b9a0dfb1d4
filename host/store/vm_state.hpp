// SPDX-License-Identifier: Apache-2.0
// A VM's states, and the one table of how it gets from one to another.
#pragma once

#include <optional>
#include <string_view>

namespace mvm::host {

enum class VmState { starting, running, paused, stopping, stopped, crashed, failed };

enum class VmHappening {
  boot_begins,
  boot_done,
  boot_failed,
  stop_begins,
  ended,    // by stop, or the guest shut itself down
  crashed,  // ended in a way that nobody asked for, or its runner died
  paused,
  resumed,
};

// The state after; empty where that cannot happen in `state`. Pure.
std::optional<VmState> next_state(VmState state, VmHappening happening);

std::string_view to_string(VmState state);
std::optional<VmState> parse_vm_state(std::string_view text);

// States in which a runner must be alive.
bool is_active(VmState state);

}  // namespace mvm::host
