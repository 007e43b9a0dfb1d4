// SPDX-License-Identifier: Apache-2.0
#include "store/vm_name.hpp"

#include <algorithm>

namespace mvm::host {

Result<VmName> VmName::parse(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool fits = !text.empty() && text.size() <= 63 && plain(text.front()) &&
                    std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '-'; });
  if (fits) return VmName(std::string(text));
  // What was typed goes to a terminal: control bytes don't.
  std::string shown(text.substr(0, 80));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return fail(ErrorKind::invalid, "VM name \"{}\"{}: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
              shown, text.size() > 63 ? formatted(" ({} characters)", text.size()) : "");
}

}  // namespace mvm::host
