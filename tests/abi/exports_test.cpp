// SPDX-License-Identifier: Apache-2.0
// What the binaries show each other: a plugin one symbol, the host none.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

// The symbols that a binary offers to others.
std::vector<std::string> exports(const std::string& path) {
#if defined(__APPLE__)
  const std::string command = MVM_NM " -gU '" + path + "' 2>&1";
#else
  const std::string command = MVM_NM " -D --defined-only '" + path + "' 2>/dev/null";
#endif
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  REQUIRE(pipe);
  std::vector<std::string> names;
  std::array<char, 4096> line;
  while (std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::istringstream words(line.data());
    std::string address, type, name;
    if (words >> address >> type >> name) names.push_back(name.substr(0, name.find('@')));
  }
  return names;
}

#if defined(__APPLE__)
const std::string entry = "_mvm_plugin_negotiate";
#else
const std::string entry = "mvm_plugin_negotiate";
#endif

}  // namespace

TEST_CASE("each plugin of this tree exports its entry point and nothing else", "[abi][MVM-P1]") {
  std::istringstream paths(MVM_IN_TREE_PLUGINS);
  for (std::string path; std::getline(paths, path, '|');) {
    INFO(path);
    CHECK(exports(path) == std::vector<std::string>{entry});
  }
}

#ifdef MVM_EXTRA_EXPORTS
TEST_CASE("a plugin that exports more than its entry point is noticed", "[abi][MVM-P1]") {
  CHECK(exports(MVM_MINIMAL) == std::vector<std::string>{entry});
  const auto names = exports(MVM_EXTRA_EXPORTS);
  CHECK(std::find(names.begin(), names.end(), entry) != names.end());
  CHECK(names.size() > 1);
}
#endif

#ifdef MVM_HOST
TEST_CASE("mvmhost exports nothing of its own, of Protobuf, spdlog or fmt", "[abi][MVM-H1]") {
  for (const std::string& name : exports(MVM_HOST)) {
    INFO(name);
    for (const char* ours : {"mvm", "google", "protobuf", "spdlog", "3fmt", "5boost"}) {
      CHECK(name.find(ours) == std::string::npos);
    }
  }
}
#endif
