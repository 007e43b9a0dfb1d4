// SPDX-License-Identifier: Apache-2.0
// What the tests of the suite share.
#pragma once

#include "contract/support/machine.hpp"
#include "support/catch.hpp"

// Leaves the test, passed, where the plugin or its guest does not have what it needs.
#define NEEDS(what, condition)             \
  do {                                     \
    if (!(condition)) {                    \
      SUCCEED("passed over: needs " what); \
      return;                              \
    }                                      \
  } while (false)

namespace mvm::test {

inline void check_no_rule_was_broken(const Machine& machine) {
  INFO(machine.log());
  CHECK(machine.log().find("(MVM-P") == std::string::npos);
}

}  // namespace mvm::test
