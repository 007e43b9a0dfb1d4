// SPDX-License-Identifier: Apache-2.0
#include "contract/support/subject.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <stdlib.h>

#ifndef MVM_CONTRACT_DEFAULT_PLUGIN
#define MVM_CONTRACT_DEFAULT_PLUGIN ""
#endif

namespace mvm::test {
namespace {

std::string env_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

std::map<std::string, uint32_t> parse_services(const std::string& text) {
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

// A file that a hypervisor which runs no code can open.
std::string stand_in_kernel() {
  static const TempDir dir;
  const auto path = dir.path() / "vmlinuz";
  write_file(path, "MVM stand-in kernel\n");
  return path.string();
}

Subject from_environment() {
  Subject s;
  s.plugin = env_or("MVM_CONTRACT_PLUGIN", MVM_CONTRACT_DEFAULT_PLUGIN);
  s.kernel = std::getenv("MVM_CONTRACT_KERNEL") != nullptr ? std::getenv("MVM_CONTRACT_KERNEL") : stand_in_kernel();
  s.initrd = env_or("MVM_CONTRACT_INITRD", "");
  s.rootfs = env_or("MVM_CONTRACT_ROOTFS", "");
  s.cmdline = env_or("MVM_CONTRACT_CMDLINE", "console=hvc0 root=/dev/vda rw init=/init");
  s.services = parse_services(env_or("MVM_CONTRACT_SERVICES", "echo=7,discard=9,pattern=19,share=2049,dial=2050"));
  s.one_vm = env_or("MVM_CONTRACT_ONE_VM", "") == "1";
  s.deadline = std::chrono::seconds(std::stoul(env_or("MVM_CONTRACT_DEADLINE_S", "20")));
  return s;
}

}  // namespace

std::optional<uint32_t> Subject::service(const std::string& name) const {
  const auto found = services.find(name);
  return found == services.end() ? std::nullopt : std::optional(found->second);
}

const Subject& subject() {
  static const Subject the_one = from_environment();
  return the_one;
}

TempDir::TempDir() {
  std::string pattern =
      (std::filesystem::canonical(std::filesystem::temp_directory_path()) / "mvm-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace mvm::test
