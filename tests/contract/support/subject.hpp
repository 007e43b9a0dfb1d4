// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "check/subject.hpp"

namespace mvm::test {

using namespace mvm::host::check;

// What is tested, from the environment, or the file of NAME=VALUE lines that MVM_CONTRACT_CONFIG names:
// MVM_CONTRACT_PLUGIN, _KERNEL, _INITRD, _CMDLINE, _SCRIPT, _SERVICES (name=port,...), _DEADLINE_S. Set before the
// first test.
Subject subject_from_environment();

}  // namespace mvm::test
