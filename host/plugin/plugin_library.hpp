// SPDX-License-Identifier: Apache-2.0
// A plugin's file, loaded and negotiated with. Never unloaded: macOS never unloads Objective-C, glibc pins libraries
// with unique symbols, and late threads of a plugin may still run its code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "mvm/abi.h"

namespace mvm::host {

// [a-z0-9][a-z0-9-]{0,31} (MVM-P14).
bool is_plugin_name(const std::string& name);

struct PluginIdentity {
  std::string name;
  std::string version;
  std::string vendor;
  std::filesystem::path path;
  uint32_t abi_major = 0;
  uint32_t abi_minor = 0;

  std::string label() const { return name + " " + version; }  // "mock 0.1.0": how errors name it
};

class PluginLibrary {
 public:
  // Loads the library (absolute path, trusted by the caller), finds its entry symbol in that very file and negotiates.
  // expected_name: what the descriptor must say; empty: what the file's name says, if that is libmvm-NAME. A process
  // loads one plugin (docs/abi-rules.md, MVM-H7): a second, different path is refused. Errors name the file and the
  // rule: not loadable (with the loader's own words), MVM-P16 no library for this machine, MVM-P1 no entry symbol,
  // MVM-P2 no common ABI or an incomplete answer, MVM-P14 its name.
  static Result<std::shared_ptr<const PluginLibrary>> load(const std::filesystem::path& path,
                                                           const std::string& expected_name);

  const PluginIdentity& identity() const noexcept { return identity_; }
  const mvm_answer& answer() const noexcept { return answer_; }
  // The one symbol: to negotiate once more, with other tables.
  mvm_plugin_negotiate_fn entry() const noexcept { return entry_; }

 private:
  PluginLibrary() = default;
  PluginIdentity identity_;
  mvm_answer answer_{};
  mvm_plugin_negotiate_fn entry_ = nullptr;
};

}  // namespace mvm::host
