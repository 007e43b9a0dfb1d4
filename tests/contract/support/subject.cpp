// SPDX-License-Identifier: Apache-2.0
#include "contract/support/subject.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace mvm::test {
namespace {

std::map<std::string, std::string> read_config() {
  std::map<std::string, std::string> values;
  const char* path = std::getenv("MVM_CONTRACT_CONFIG");
  if (path == nullptr) return values;
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string("MVM_CONTRACT_CONFIG: cannot read ") + path);
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find('=');
    if (line.empty() || line[0] == '#' || equals == std::string::npos) continue;
    values[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return values;
}

// The environment's word, else the file's.
std::string setting(const std::string& name, const std::string& otherwise) {
  static const std::map<std::string, std::string> config = read_config();
  if (const char* value = std::getenv(name.c_str())) return value;
  const auto found = config.find(name);
  return found == config.end() ? otherwise : found->second;
}

std::map<std::string, uint32_t> services_of(const std::string& text) {
  std::map<std::string, uint32_t> services;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos)
      throw std::runtime_error("MVM_CONTRACT_SERVICES: \"" + item + "\" is not name=port");
    services[item.substr(0, equals)] = static_cast<uint32_t>(std::stoul(item.substr(equals + 1)));
  }
  return services;
}

const struct AtStart {
  AtStart() { set_subject(subject_from_environment()); }
} at_start;

}  // namespace

Subject subject_from_environment() {
  Subject s;
  s.plugin = setting("MVM_CONTRACT_PLUGIN", "");
  s.kernel = setting("MVM_CONTRACT_KERNEL", "");
  s.initrd = setting("MVM_CONTRACT_INITRD", "");
  s.cmdline = setting("MVM_CONTRACT_CMDLINE", s.cmdline);
  s.services = services_of(setting("MVM_CONTRACT_SERVICES", "echo=7,discard=9,pattern=19,share=2049,dial=2050"));
  std::istringstream keys(setting("MVM_CONTRACT_SCRIPT", ""));
  for (std::string key; std::getline(keys, key, ',');) s.script.insert(key);
  s.deadline = std::chrono::seconds(std::stoul(setting("MVM_CONTRACT_DEADLINE_S", "20")));
  return s;
}

}  // namespace mvm::test
