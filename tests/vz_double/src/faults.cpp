// SPDX-License-Identifier: Apache-2.0
#include "faults.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string_view>

#include "../include/vz_double.h"

namespace mvm::vz_double {
namespace {

[[noreturn]] void refuse(std::string_view key, std::string_view value) {
  std::fprintf(stderr, "vz_double: fault %.*s=%.*s: is none; tests/vz_double/README.md lists them\n",
               static_cast<int>(key.size()), key.data(), static_cast<int>(value.size()), value.data());
  std::abort();
}

int number(std::string_view key, std::string_view value) {
  int n = 0;
  const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (failed != std::errc() || end != value.data() + value.size() || n < 0) refuse(key, value);
  return n;
}

Faults::Delay delay(std::string_view key, std::string_view value) { return Faults::Delay(number(key, value)); }

bool flag(std::string_view key, std::string_view value) {
  if (value != "0" && value != "1") refuse(key, value);
  return value == "1";
}

Rosetta rosetta(std::string_view key, std::string_view value) {
  if (value == "installed") return Rosetta::installed;
  if (value == "not-installed") return Rosetta::not_installed;
  if (value == "not-supported") return Rosetta::not_supported;
  refuse(key, value);
}

std::string verb(std::string_view key, std::string_view value) {
  for (const char* known : {"start", "stop", "pause", "resume", "connect"}) {
    if (value == known) return std::string(value);
  }
  refuse(key, value);
}

struct Key {
  const char* name;
  void (*set)(Faults& faults, std::string_view key, std::string_view value);
};

constexpr Key keys[] = {
    {"start-delay", [](auto& f, auto k, auto v) { f.start_delay = delay(k, v); }},
    {"stop-delay", [](auto& f, auto k, auto v) { f.stop_delay = delay(k, v); }},
    {"start-error", [](auto& f, auto k, auto v) { f.start_error = number(k, v); }},
    {"stop-error", [](auto& f, auto k, auto v) { f.stop_error = number(k, v); }},
    {"request-stop-error", [](auto& f, auto k, auto v) { f.request_stop_error = number(k, v); }},
    {"guest-stops-after", [](auto& f, auto k, auto v) { f.guest_stops_after = delay(k, v); }},
    {"error-after", [](auto& f, auto k, auto v) { f.error_after = delay(k, v); }},
    {"network-lost-after", [](auto& f, auto k, auto v) { f.network_lost_after = delay(k, v); }},
    {"never", [](auto& f, auto k, auto v) { f.never.insert(verb(k, v)); }},
    {"ignore-request-stop", [](auto& f, auto k, auto v) { f.ignore_request_stop = flag(k, v); }},
    {"refuse-connect", [](auto& f, auto k, auto v) { f.refuse_connect = flag(k, v); }},
    {"unsupported", [](auto& f, auto k, auto v) { f.unsupported = flag(k, v); }},
    {"no-entitlement", [](auto& f, auto k, auto v) { f.no_entitlement = flag(k, v); }},
    {"invalid-without-error", [](auto& f, auto k, auto v) { f.invalid_without_error = flag(k, v); }},
    {"no-nested", [](auto& f, auto k, auto v) { f.no_nested = flag(k, v); }},
    {"rosetta", [](auto& f, auto k, auto v) { f.rosetta = rosetta(k, v); }},
};

void set(Faults& faults, std::string_view key, std::string_view value) {
  for (const Key& known : keys) {
    if (key == known.name) return known.set(faults, key, value);
  }
  refuse(key, value);
}

Faults parse(const char* script) {
  Faults parsed;
  std::istringstream words(script);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) refuse(word, "");
    const std::string_view text = word;
    set(parsed, text.substr(0, equals), text.substr(equals + 1));
  }
  return parsed;
}

std::mutex mutex;

Faults& in_force() {
  // Never destroyed: queues may run when the statics go.
  static auto* const one = [] {
    const char* said = std::getenv("MVM_VZ_DOUBLE");
    return new Faults(parse(said != nullptr ? said : ""));
  }();
  return *one;
}

}  // namespace

Faults faults() {
  const std::lock_guard lock(mutex);
  return in_force();
}

}  // namespace mvm::vz_double

void vz_double_set_faults(const char* script) {
  const std::lock_guard lock(mvm::vz_double::mutex);
  mvm::vz_double::in_force() = mvm::vz_double::parse(script);
}
