// SPDX-License-Identifier: Apache-2.0
// The directories that the host shares, as the guest sees them: by tag, confined, read-only where it was said.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mvm/hypervisor.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::mock {

struct DirEntry {
  char type;  // 'f' file, 'd' directory, 'l' symbolic link, 'o' other
  uint64_t size;
  std::string name;
};

// A file that appears under its name when it is complete, and not at all otherwise.
class NewFile {
 public:
  NewFile(UniqueFd dir, std::string leaf);
  NewFile(NewFile&& other) noexcept = default;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  void write(std::string_view bytes);
  void commit();

 private:
  UniqueFd dir_;
  std::string leaf_;
  std::string temporary_;
  UniqueFd file_;
};

// Paths are relative to the share. Every step is opened without following links: nothing leads out. All throw
// mvm::Error.
class SharedDir {
 public:
  explicit SharedDir(const v1::Share& share);

  const v1::Share& share() const noexcept { return share_; }
  std::vector<DirEntry> list(std::string_view path) const;
  UniqueFd open_file(std::string_view path, uint64_t& size) const;
  NewFile create(std::string_view path) const;

 private:
  v1::Share share_;
  UniqueFd root_;
};

class Shares {
 public:
  static constexpr size_t max_tag_bytes = 35;

  // MVM_ERR_INVALID for what cannot be a share, MVM_ERR_BUSY for a tag in use.
  void add(const v1::Share& share);
  void remove(const std::string& tag);  // MVM_ERR_NOT_FOUND
  const SharedDir& at(const std::string& tag) const;
  std::vector<v1::Share> in_force() const;

 private:
  std::map<std::string, SharedDir> shares_;
};

}  // namespace mvm::mock
