// SPDX-License-Identifier: Apache-2.0
// A guest's sight of its shares. The mock's guest is asked over its port 2049 (plugins/mock/README.md); another guest's
// agent would be another one of these.
#pragma once

#include <string>
#include <vector>

#include "check/machine.hpp"

namespace mvm::host::check {

class GuestFiles {
 public:
  GuestFiles(Machine& machine, uint32_t port) : fd_(machine.open_stream(port)) {}

  // A real guest mounts what was plugged in some moments later, and nothing tells us when: asked again and again.
  bool sees(const std::string& tag);  // within the deadline
  bool sees_no_more(const std::string& tag);

  std::vector<std::string> shares();                                  // "tag ro", "tag rw"
  std::vector<std::string> list(const std::string& tag_and_path);     // "f 5 name"
  std::string read(const std::string& tag, const std::string& path);  // the content, or "ERR ..."
  std::string write(const std::string& tag, const std::string& path, const std::string& content);  // "OK <size>"

 private:
  bool becomes(const std::string& tag, bool there);
  std::vector<std::string> lines(const std::string& command);
  UniqueFd fd_;
};

}  // namespace mvm::host::check
