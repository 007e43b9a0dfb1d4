// SPDX-License-Identifier: Apache-2.0
// Protobuf messages as JSON with the .proto's own snake_case names.
#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "base/result.hpp"

namespace mvm::host {

enum class Unset { print, omit };

// 64-bit integers are JSON numbers (Protobuf's own printer makes strings of them, which jq and people stumble over; its
// parser takes both). Unset::print: every singular scalar is there, set or not, so that keys are stable for who reads
// it. `indent`: 0 puts all on one line.
std::string to_json(const google::protobuf::Message& message, int indent = 2, Unset unset = Unset::print);

// The same, at the end of `out`.
void append_json(std::string& out, const google::protobuf::Message& message, int indent = 2,
                 Unset unset = Unset::print);

// An array of what to_json makes of each.
template <class Messages>
std::string to_json_array(const Messages& messages) {
  std::string out = "[";
  const char* separator = "\n";
  for (const auto& message : messages) {
    out += separator;
    append_json(out, message);
    separator = ",\n";
  }
  return out + (messages.empty() ? "]" : "\n]");
}

// Unknown fields are ignored. The error (failed) says what is wrong and where, without a subject.
Result<void> from_json(std::string_view text, google::protobuf::Message& message);

}  // namespace mvm::host
