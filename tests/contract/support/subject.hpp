// SPDX-License-Identifier: Apache-2.0
// What the contract suite is run against: the environment's word, or the mock. README.md lists the variables.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace mvm::test {

struct Subject {
  std::filesystem::path plugin;
  std::string kernel;
  std::string initrd;
  std::string rootfs;
  std::string cmdline;
  std::map<std::string, uint32_t> services;
  bool one_vm = false;  // running_vm.hpp
  std::chrono::seconds deadline{20};

  std::optional<uint32_t> service(const std::string& name) const;
};

const Subject& subject();

// A directory that goes with the object.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, const std::string& content);
std::string read_file(const std::filesystem::path& path);

}  // namespace mvm::test
