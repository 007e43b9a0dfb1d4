// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mvm::vz_double {

// Aborts, and names the subject, where the pretended macOS is older than that version.
void need_system(const char* version, const char* subject);

}  // namespace mvm::vz_double
