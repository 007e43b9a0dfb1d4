// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mvm::host {

// "2026-11-23T08:05:37.123Z": RFC 3339, UTC, milliseconds.
std::string now_rfc3339();

// The same of a time since 1970.
std::string rfc3339(int64_t ns);

// How long ago that was, for people: "3 minutes"; empty for what is no such time.
std::string age_of(std::string_view rfc3339);

}  // namespace mvm::host
