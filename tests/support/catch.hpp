// SPDX-License-Identifier: Apache-2.0
// Catch2 2 (Debian 12) and 3 (Homebrew), as one.
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_all.hpp>
namespace mvm::test {
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
}  // namespace mvm::test
#else
#include <catch2/catch.hpp>
namespace mvm::test {
inline auto ContainsSubstring(const std::string& text) { return Catch::Matchers::Contains(text); }
using Catch::Matchers::StartsWith;
}  // namespace mvm::test
#endif
