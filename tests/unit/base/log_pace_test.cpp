// SPDX-License-Identifier: Apache-2.0
#include "base/log_pace.hpp"

#include "support/catch.hpp"

using mvm::host::LogPace;
using namespace std::chrono_literals;

TEST_CASE("the first line is said at once, the next after its time with the number of those between") {
  LogPace pace(1s);
  const LogPace::Clock::time_point start{};
  CHECK(pace.pass(start) == 0);
  CHECK_FALSE(pace.pass(start + 1ms));
  CHECK_FALSE(pace.pass(start + 999ms));
  CHECK(pace.pass(start + 1s) == 2);
  CHECK_FALSE(pace.pass(start + 1500ms));
  CHECK(pace.pass(start + 3s) == 1);
  CHECK(pace.pass(start + 5s) == 0);
}
