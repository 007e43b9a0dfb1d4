// SPDX-License-Identifier: Apache-2.0
#include "script.hpp"

namespace mvm::vz_double {
namespace {

// One parameter off the front. A blank within quotes is part of it, as a kernel reads it.
std::string_view take_parameter(std::string_view& text) {
  bool quoted = false;
  size_t end = 0;
  for (; end < text.size() && (quoted || text[end] != ' '); ++end) {
    if (text[end] == '"') quoted = !quoted;
  }
  const std::string_view parameter = text.substr(0, end);
  text.remove_prefix(end < text.size() ? end + 1 : end);
  return parameter;
}

std::string unquoted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return std::string(value);
}

}  // namespace

std::map<std::string, std::string> script_in(std::string_view cmdline) {
  constexpr std::string_view prefix = "simulated.";
  std::map<std::string, std::string> script;
  while (!cmdline.empty()) {
    std::string_view parameter = take_parameter(cmdline);
    const size_t equals = parameter.find('=');
    if (!parameter.starts_with(prefix) || equals == std::string_view::npos) continue;
    script.emplace(parameter.substr(prefix.size(), equals - prefix.size()), unquoted(parameter.substr(equals + 1)));
  }
  return script;
}

}  // namespace mvm::vz_double
