// SPDX-License-Identifier: Apache-2.0
// For the tests' plugin: proc_net_arp(5), "address type flags mac mask device" after a line of titles.
#include <fstream>
#include <sstream>

#include "arp_table.hpp"

namespace mvm::apple_vz {

std::optional<std::string> arp_address(const Mac& mac) {
  std::ifstream table("/proc/net/arp");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string address, type, flags, text;
    if (words >> address >> type >> flags >> text && parse_mac(text) == mac) return address;
  }
  return std::nullopt;
}

}  // namespace mvm::apple_vz
