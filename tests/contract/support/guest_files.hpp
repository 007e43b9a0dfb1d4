// SPDX-License-Identifier: Apache-2.0
// A guest's sight of its shares. The mock's guest is asked over its port 2049 (plugins/mock/README.md); another guest's
// agent would be another one of these.
#pragma once

#include <string>
#include <vector>

#include "contract/support/machine.hpp"

namespace mvm::test {

class GuestFiles {
 public:
  GuestFiles(Machine& machine, uint32_t port) : fd_(machine.open_stream(port)) {}

  std::vector<std::string> shares();                                  // "tag ro", "tag rw"
  std::vector<std::string> list(const std::string& tag_and_path);     // "f 5 name"
  std::string read(const std::string& tag, const std::string& path);  // the content, or "ERR ..."
  std::string write(const std::string& tag, const std::string& path, const std::string& content);  // "OK <size>"

 private:
  std::vector<std::string> lines(const std::string& command);
  UniqueFd fd_;
};

}  // namespace mvm::test
