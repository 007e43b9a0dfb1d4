// SPDX-License-Identifier: Apache-2.0
// Where plugins are looked for, and what is found there. Nothing is loaded here.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace mvm::host {

struct PluginCandidate {
  std::string name = {};  // from the file's name
  std::filesystem::path path = {};
  bool usable = false;
  bool shadowed = false;    // another of that name comes first
  std::string reason = {};  // why not usable
};

class PluginFinder {
 public:
  // $MVM_PLUGIN_PATH (ignored in a privileged process), the user's data directory, and lib/mvm/plugins beside the
  // executable's bin/, which is built in.
  static PluginFinder standard();
  // Searched in order; but a name that `built_in` has is taken from there alone (MVM-H9): another plugin of that name
  // takes --plugin.
  PluginFinder(std::vector<std::filesystem::path> directories, std::filesystem::path built_in)
      : directories_(std::move(directories)), built_in_(std::move(built_in)) {}

  // Every candidate, those refused and shadowed too, in the order of search.
  std::vector<PluginCandidate> all() const;

  // The file for a name. The error (not_found) lists what there is and why each other candidate was refused.
  Result<std::filesystem::path> find(const std::string& name) const;

 private:
  std::vector<std::filesystem::path> directories_;
  std::filesystem::path built_in_;
};

// NAME of a file called libmvm-NAME.so (.dylib); empty for any other.
std::string plugin_name_of(const std::filesystem::path& path);

}  // namespace mvm::host
