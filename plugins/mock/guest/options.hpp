// SPDX-License-Identifier: Apache-2.0
// VmSpec.options: the script that a simulated guest follows.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::mock {

enum class Verb { none, boot, stop, vsock_connect, share_dir };

struct LatePort {
  uint32_t port;
  std::chrono::milliseconds after;
};

struct SlowPort {
  uint32_t port;
  uint64_t bytes_per_s;
};

struct GuestCall {
  uint32_t port;
  std::string text;
};

struct Options {
  using Delay = std::chrono::milliseconds;

  Delay boot_delay{0};
  std::string boot_error;
  bool ignore_stop = false;
  Delay stop_delay{10};
  std::optional<Delay> exit_after;
  std::optional<Delay> panic_after;
  std::optional<Delay> reset_after;
  std::optional<Delay> crash_after;
  Verb crash = Verb::none;
  Verb hang = Verb::none;
  std::set<uint32_t> refused_ports;
  std::vector<LatePort> late_ports;
  std::vector<SlowPort> slow_ports;
  Delay connect_delay{0};
  uint64_t console_lines = 0;
  std::optional<GuestCall> guest_call;
};

// Throws mvm::Error, MVM_ERR_INVALID: an unknown key (names the valid ones), or a value that is none.
Options parse_options(const google::protobuf::Map<std::string, std::string>& options);

// For HypervisorInfo.options.
std::vector<v1::OptionInfo> describe_options();

}  // namespace mvm::mock
