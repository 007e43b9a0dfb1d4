// SPDX-License-Identifier: Apache-2.0
#include "sandbox.hpp"

#include <cstdlib>
#include <fstream>
#include <string>

#include "measure.hpp"

namespace mvm::bench {

Sandbox::Sandbox() {
  std::string path = "/tmp/mvm-bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) give_up(path);
  directory_ = path;
  ::setenv("MVM_HOME", (directory_ / "home").c_str(), 1);
  ::setenv("MVM_RUNTIME_DIR", (directory_ / "run").c_str(), 1);
  std::string image(8192, '\0');
  image.replace(0x1fe, 2, "\x55\xaa");
  image.replace(0x202, 4, "HdrS");
  image[0x207] = 2;
  image[0x211] = 1;
  std::ofstream(kernel(), std::ios::binary) << image;
}

Sandbox::~Sandbox() {
  run({MVMHOST, "stop", "--all", "--force"});
  std::filesystem::remove_all(directory_);
}

}  // namespace mvm::bench
