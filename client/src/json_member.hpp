// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mvm::client {

// The member `key` of the JSON object in `text`: a string's value, or another value's JSON text. Nothing: there is
// none, or the text up to there is no JSON object. What stands inside of other values is passed over, not checked.
std::optional<std::string> json_member(std::string_view text, std::string_view key);

}  // namespace mvm::client
