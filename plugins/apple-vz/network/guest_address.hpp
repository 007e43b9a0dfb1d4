// SPDX-License-Identifier: Apache-2.0
// A guest's address on the NAT network, by its MAC: bootpd's leases, then the table of neighbours; an old lease last.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "dhcp_leases.hpp"

namespace mvm::apple_vz {

struct AddressSources {
  std::string leases_file = "/var/db/dhcpd_leases";
  std::function<std::optional<std::string>(const Mac& mac)> neighbour;  // empty: arp_address
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

// [any] Empty: not known (yet). Reads one small file.
std::string guest_address(const std::string& mac, const AddressSources& sources = {});

}  // namespace mvm::apple_vz
