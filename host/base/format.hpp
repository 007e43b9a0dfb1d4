// SPDX-License-Identifier: Apache-2.0
// fmt's format strings, checked at compile time; its formatting code is compiled once, in format.cpp. Header-only fmt
// in every source took two thirds of the build's time, and a shared libfmt would stand in a plugin's way (MVM-H1).
#pragma once

#include <string>

#if __has_include(<fmt/base.h>)
#include <fmt/base.h>  // fmt 11, whose core.h is all of it
#else
#include <fmt/core.h>
#endif

namespace mvm::host {

std::string vformatted(fmt::string_view text, fmt::format_args arguments);

// Not called format: an unqualified call would find the standard library's as well.
template <class... Args>
std::string formatted(fmt::format_string<Args...> text, Args&&... args) {
  return vformatted(text, fmt::make_format_args(args...));
}

}  // namespace mvm::host
