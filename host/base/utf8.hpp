// SPDX-License-Identifier: Apache-2.0
// Protobuf's strings, and so the record, are UTF-8: what comes from outside is checked before it becomes part of one.
#pragma once

#include <string>
#include <string_view>

namespace mvm::host {

bool is_utf8(std::string_view text);

// The text with each byte that is no UTF-8 as '?'.
std::string as_utf8(std::string_view text);

}  // namespace mvm::host
