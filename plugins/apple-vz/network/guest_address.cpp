// SPDX-License-Identifier: Apache-2.0
#include "guest_address.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "arp_table.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {
namespace {

constexpr size_t max_leases_bytes = size_t{1} << 20;  // some 6,000 leases, of a pool of 253

// Open it anew each time: bootpd replaces it. Empty when there is none.
std::string read(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string text;
  if (!file) return text;
  text.resize(max_leases_bytes);
  size_t size = 0;
  for (ssize_t n = 0; size < text.size() && (n = ::read(file.get(), text.data() + size, text.size() - size)) > 0;) {
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::string guest_address(const std::string& mac, const AddressSources& sources) {
  const auto parsed = parse_mac(mac);
  if (!parsed) return {};
  const auto lease = newest_lease(read(sources.leases_file), *parsed);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(sources.now.time_since_epoch()).count();
  if (lease && lease->expires_s > static_cast<uint64_t>(now)) return lease->address;
  const auto heard = sources.neighbour ? sources.neighbour(*parsed) : arp_address(*parsed);
  if (heard) return *heard;
  return lease ? lease->address : std::string();
}

}  // namespace mvm::apple_vz
