// SPDX-License-Identifier: Apache-2.0
// What goes wrong on demand: vz_double_set_faults, MVM_VZ_DOUBLE. The keys: README.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace mvm::vz_double {

enum class Rosetta { not_supported = 0, not_installed = 1, installed = 2 };

struct Faults {
  using Delay = std::chrono::milliseconds;

  Delay start_delay{0};
  Delay stop_delay{0};
  int start_error = 0;  // a VZErrorCode; 0: none
  int stop_error = 0;
  int request_stop_error = 0;
  std::optional<Delay> guest_stops_after;
  std::optional<Delay> error_after;
  std::optional<Delay> network_lost_after;
  std::set<std::string> never;  // start, stop, pause, resume, connect: those are never answered
  bool ignore_request_stop = false;
  bool refuse_connect = false;
  bool unsupported = false;
  bool no_entitlement = false;
  bool invalid_without_error = false;
  bool no_nested = false;
  Rosetta rosetta = Rosetta::installed;

  bool answers(const char* verb) const { return !never.contains(verb); }
};

// A copy of those in force.
Faults faults();

}  // namespace mvm::vz_double
