// SPDX-License-Identifier: Apache-2.0
// A state directory for a benchmark's VMs, gone afterwards.
#pragma once

#include <filesystem>
#include <string>

namespace mvm::bench {

// Sets MVM_HOME and MVM_RUNTIME_DIR for this process and what it starts. Its end stops the VMs.
class Sandbox {
 public:
  Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox();

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path vm(const std::string& name) const { return directory_ / "home" / "vms" / name; }
  // What plugin mock takes for a kernel.
  std::filesystem::path kernel() const { return directory_ / "bzImage"; }

 private:
  std::filesystem::path directory_;
};

}  // namespace mvm::bench
