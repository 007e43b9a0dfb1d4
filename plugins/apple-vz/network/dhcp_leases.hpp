// SPDX-License-Identifier: Apache-2.0
// The leases that macOS's bootpd writes to /var/db/dhcpd_leases: which address has the guest with this MAC?
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mvm::apple_vz {

using Mac = std::array<uint8_t, 6>;

// Reads "a:b:c:d:e:f", each of one or two hexadecimal digits: bootpd and arp leave out leading zeros.
std::optional<Mac> parse_mac(std::string_view text);

struct Lease {
  std::string address;
  uint64_t expires_s = 0;  // since the epoch
};

// The lease of `mac` that expires last, as bootpd wrote it; none when `leases` (the file's whole text) has none of that
// MAC. Entries that name the guest by a DUID hide its MAC and are passed over: ask ARP for those. It may have expired:
// a guest may keep an address while its lease is renewed.
std::optional<Lease> newest_lease(std::string_view leases, const Mac& mac);

}  // namespace mvm::apple_vz
