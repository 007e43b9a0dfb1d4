// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mvm::host {

// A VM's name, checked: [a-z0-9][a-z0-9-]{0,62}. Nothing else ever becomes part of a path, so this is the one place
// that keeps ".." and "/" out of the state directory.
class VmName {
 public:
  static Result<VmName> parse(std::string_view text);
  const std::string& str() const noexcept { return text_; }

 private:
  explicit VmName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace mvm::host
