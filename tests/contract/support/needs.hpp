// SPDX-License-Identifier: Apache-2.0
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
