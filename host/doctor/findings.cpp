// SPDX-License-Identifier: Apache-2.0
#include "doctor/findings.hpp"

namespace mvm::host {

pb::Finding finding(Verdict verdict, std::string subject, std::string message) {
  constexpr const char* words[] = {"ok", "warning", "problem"};
  pb::Finding found;
  found.set_verdict(words[static_cast<int>(verdict)]);
  found.set_subject(std::move(subject));
  found.set_message(std::move(message));
  return found;
}

}  // namespace mvm::host
