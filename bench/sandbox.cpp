// SPDX-License-Identifier: Apache-2.0
#include "sandbox.hpp"

#include <cstdlib>
#include <utility>

#include "measure.hpp"

namespace mvm::bench {

Sandbox::Sandbox(std::string mvmhost) : mvmhost_(std::move(mvmhost)) {
  std::string path = "/tmp/mvm-bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) give_up(path);
  directory_ = path;
  ::setenv("MVM_HOME", (directory_ / "home").c_str(), 1);
  ::setenv("MVM_RUNTIME_DIR", (directory_ / "run").c_str(), 1);
}

Sandbox::~Sandbox() {
  run({mvmhost_, "stop", "--all", "--force"});
  std::filesystem::remove_all(directory_);
}

}  // namespace mvm::bench
