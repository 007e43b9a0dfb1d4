// SPDX-License-Identifier: Apache-2.0
#include "base/time.hpp"

#include <chrono>
#include <ctime>
#include <string>

#include "support/catch.hpp"

using namespace mvm::host;

namespace {

// As records have it, by the C library's own calendar.
std::string seconds_ago(std::time_t seconds) {
  const std::time_t then = std::time(nullptr) - seconds;
  std::tm utc{};
  ::gmtime_r(&then, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.123Z", &utc)};
}

}  // namespace

TEST_CASE("an age is in the largest unit of which there are two") {
  CHECK(age_of(seconds_ago(110)).ends_with(" seconds"));
  CHECK(age_of(seconds_ago(150)) == "2 minutes");
  CHECK(age_of(seconds_ago(3 * 3600)) == "3 hours");
  CHECK(age_of(seconds_ago(40 * 86400)) == "40 days");
  CHECK(age_of(seconds_ago(10'000 * 86400)) == "10000 days");
}

TEST_CASE("a time that is yet to come is 0 seconds old, as after a clock was set back") {
  CHECK(age_of(seconds_ago(-3600)) == "0 seconds");
}

TEST_CASE("what is no time has no age") {
  for (const char* text : {"", "yesterday", "2026-11-23", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
                           "2026-11-23 08:05:37Z", "2026-11-2xT08:05:37Z"}) {
    CAPTURE(text);
    CHECK(age_of(text).empty());
  }
}

TEST_CASE("what is written down now is some seconds old at most") {
  CHECK(age_of(now_rfc3339()).ends_with(" seconds"));
}
