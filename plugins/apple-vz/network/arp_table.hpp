// SPDX-License-Identifier: Apache-2.0
// The system's table of neighbours: which address did the card with this MAC have when it was last heard?
#pragma once

#include <optional>
#include <string>

#include "dhcp_leases.hpp"

namespace mvm::apple_vz {

// [any] None: nobody with that MAC was heard of late. By the MAC, never by a place in the table.
std::optional<std::string> arp_address(const Mac& mac);

}  // namespace mvm::apple_vz
