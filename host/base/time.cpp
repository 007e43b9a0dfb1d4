// SPDX-License-Identifier: Apache-2.0
#include "base/time.hpp"

#include <chrono>
#include <ctime>
#include <optional>

#include "base/format.hpp"

namespace mvm::host {
namespace {

// "2026-11-23T08:05:37" and what follows. By hand: strptime and timegm take longer than all else that list does for a
// VM.
std::optional<std::chrono::sys_seconds> seconds_of(std::string_view text) {
  using namespace std::chrono;
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd";
  if (text.size() < shape.size()) return std::nullopt;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 'd' ? !digit(text[i]) : text[i] != shape[i]) return std::nullopt;
  }
  const auto number = [&](size_t at, size_t digits) {
    int n = 0;
    for (const char c : text.substr(at, digits)) n = n * 10 + (c - '0');
    return n;
  };
  const year_month_day date(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                            day(static_cast<unsigned>(number(8, 2))));
  if (!date.ok()) return std::nullopt;
  return sys_days(date) + hours(number(11, 2)) + minutes(number(14, 2)) + seconds(number(17, 2));
}

}  // namespace

std::string now_rfc3339() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return rfc3339(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

std::string rfc3339(int64_t ns) {
  const int64_t ms = ns / 1'000'000;
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return formatted("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                   utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

std::string age_of(std::string_view rfc3339) {
  const auto then = seconds_of(rfc3339);
  if (!then) return {};
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const int64_t seconds = (now - *then).count();
  const auto say = [](int64_t n, const char* unit) { return formatted("{} {}{}", n, unit, n == 1 ? "" : "s"); };
  if (seconds < 0) return say(0, "second");
  if (seconds < 120) return say(seconds, "second");
  if (seconds < 2 * 3600) return say(seconds / 60, "minute");
  if (seconds < 2 * 86400) return say(seconds / 3600, "hour");
  return say(seconds / 86400, "day");
}

}  // namespace mvm::host
