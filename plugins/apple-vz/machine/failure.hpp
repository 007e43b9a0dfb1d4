// SPDX-License-Identifier: Apache-2.0
// The framework's errors in words that help: domain, code, its symbol, what it came from, and what to do where that is
// known.
#pragma once

#include <string>

#include "bridge/framework_error.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {

// "VZErrorDomain 5 (VZErrorInvalidDiskImage): The disk image … (NSPOSIXErrorDomain 35: …); remedy"
std::string words_of(const FrameworkError& error);

// subject: what failed, "vm demo: could not be started".
Error explain(const std::string& subject, const FrameworkError& error);

// Of a connection: the guest answered, and nobody listens there (yet). Anything else is a failure.
bool nobody_listens(const FrameworkError& error);

}  // namespace mvm::apple_vz
