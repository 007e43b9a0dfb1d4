// SPDX-License-Identifier: Apache-2.0
// The SDK's headers know libc and, in .hpp files, the standard library; nobody who installs them needs more.
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "support/catch.hpp"

TEST_CASE("no header of the SDK includes boost, fmt, spdlog or Protobuf", "[abi][MVM-H1]") {
  const std::regex include(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  int headers = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MVM_SDK_INCLUDE)) {
    if (!entry.is_regular_file()) continue;
    ++headers;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      INFO(entry.path().string() << " includes " << match[1]);
      for (const char* stranger : {"boost/", "fmt/", "spdlog/", "google/", ".pb.h"}) {
        CHECK(match[1].str().find(stranger) == std::string::npos);
      }
    }
  }
  CHECK(headers >= 5);
}

TEST_CASE("a C header of the SDK includes C headers only", "[abi]") {
  const std::regex include(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MVM_SDK_INCLUDE)) {
    if (entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      INFO(entry.path().string() << " includes " << match[1]);
      CHECK(match[1].str().ends_with(".h"));
    }
  }
}
