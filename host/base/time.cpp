// SPDX-License-Identifier: Apache-2.0
#include "base/time.hpp"

#include <chrono>
#include <ctime>

#include "base/format.hpp"

namespace mvm::host {

std::string now_rfc3339() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return formatted("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                   utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

std::string age_of(const std::string& rfc3339) {
  std::tm utc{};
  const char* end = ::strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (end == nullptr) return {};
  const auto seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) - ::timegm(&utc);
  const auto say = [](long n, const char* unit) { return formatted("{} {}{}", n, unit, n == 1 ? "" : "s"); };
  if (seconds < 0) return say(0, "second");
  if (seconds < 120) return say(seconds, "second");
  if (seconds < 2 * 3600) return say(seconds / 60, "minute");
  if (seconds < 2 * 86400) return say(seconds / 3600, "hour");
  return say(seconds / 86400, "day");
}

}  // namespace mvm::host
