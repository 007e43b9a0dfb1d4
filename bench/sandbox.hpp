// SPDX-License-Identifier: Apache-2.0
// A state directory of mvmhost's for one run of a benchmark; gone afterwards, with every VM in it.
#pragma once

#include <filesystem>
#include <string>

namespace mvm::bench {

class Sandbox {
 public:
  // mvmhost: the program whose VMs these will be. Sets MVM_HOME and MVM_RUNTIME_DIR.
  explicit Sandbox(std::string mvmhost);
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox();

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path vm(const std::string& name) const { return directory_ / "home" / "vms" / name; }

 private:
  const std::string mvmhost_;
  std::filesystem::path directory_;
};

}  // namespace mvm::bench
