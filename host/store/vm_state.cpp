// SPDX-License-Identifier: Apache-2.0
#include "store/vm_state.hpp"

#include <array>
#include <utility>

namespace mvm::host {
namespace {

using S = VmState;
using H = VmHappening;

struct Transition {
  S from;
  H happening;
  S to;
};

constexpr Transition transitions[] = {
    {S::stopped, H::boot_begins, S::starting},  {S::crashed, H::boot_begins, S::starting},
    {S::failed, H::boot_begins, S::starting},

    {S::starting, H::boot_done, S::running},    {S::starting, H::boot_failed, S::failed},
    {S::starting, H::stop_begins, S::stopping}, {S::starting, H::crashed, S::crashed},
    {S::starting, H::ended, S::stopped},

    {S::running, H::stop_begins, S::stopping},  {S::running, H::ended, S::stopped},
    {S::running, H::crashed, S::crashed},       {S::running, H::paused, S::paused},

    {S::paused, H::resumed, S::running},        {S::paused, H::stop_begins, S::stopping},
    {S::paused, H::ended, S::stopped},          {S::paused, H::crashed, S::crashed},

    {S::stopping, H::stop_begins, S::stopping}, {S::stopping, H::ended, S::stopped},
    {S::stopping, H::crashed, S::crashed},      {S::stopping, H::boot_failed, S::stopped},
};

constexpr std::array<std::pair<S, std::string_view>, 7> names = {{
    {S::starting, "starting"},
    {S::running, "running"},
    {S::paused, "paused"},
    {S::stopping, "stopping"},
    {S::stopped, "stopped"},
    {S::crashed, "crashed"},
    {S::failed, "failed"},
}};

}  // namespace

std::optional<VmState> next_state(VmState state, VmHappening happening) {
  for (const Transition& t : transitions) {
    if (t.from == state && t.happening == happening) return t.to;
  }
  return std::nullopt;
}

std::string_view to_string(VmState state) {
  for (const auto& [value, name] : names) {
    if (value == state) return name;
  }
  return "unknown";
}

std::optional<VmState> parse_vm_state(std::string_view text) {
  for (const auto& [value, name] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

bool is_active(VmState state) {
  return state == S::starting || state == S::running || state == S::paused || state == S::stopping;
}

}  // namespace mvm::host
