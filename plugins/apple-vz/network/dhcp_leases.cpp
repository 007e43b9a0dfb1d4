// SPDX-License-Identifier: Apache-2.0
#include "network/dhcp_leases.hpp"

#include <charconv>

namespace mvm::apple_vz {
namespace {

constexpr std::string_view kEthernet = "1,";  // ARP's hardware type before the MAC; "ff," is before a DUID.

template <class T>
std::optional<T> parse_hex(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Takes what is before `separator` off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  const auto part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

struct Entry {
  std::string_view address;
  std::optional<Mac> mac;
  uint64_t expires_s = 0;
};

void read_field(Entry& lease, std::string_view line) {
  const auto key = take_until(line, '=');
  if (key == "ip_address") lease.address = line;
  if (key == "hw_address" && line.substr(0, kEthernet.size()) == kEthernet) {
    lease.mac = parse_mac(line.substr(kEthernet.size()));
  }
  if (key == "lease" && line.substr(0, 2) == "0x") lease.expires_s = parse_hex<uint64_t>(line.substr(2)).value_or(0);
}

}  // namespace

std::optional<Mac> parse_mac(std::string_view text) {
  Mac mac{};
  for (size_t i = 0; i < mac.size(); ++i) {
    const bool last = i + 1 == mac.size();
    if (!last && text.find(':') == std::string_view::npos) return std::nullopt;
    const auto octet = last ? text : take_until(text, ':');
    if (octet.size() > 2) return std::nullopt;
    const auto value = parse_hex<uint8_t>(octet);
    if (!value) return std::nullopt;
    mac[i] = *value;
  }
  return mac;
}

std::optional<Lease> newest_lease(std::string_view leases, const Mac& mac) {
  std::optional<Entry> best;
  Entry entry;
  while (!leases.empty()) {
    const auto line = trimmed(take_until(leases, '\n'));
    if (line == "{") {
      entry = {};
    } else if (line == "}") {
      // bootpd writes the newest first: of equals the first stays.
      if (entry.mac == mac && !entry.address.empty() && (!best || entry.expires_s > best->expires_s)) best = entry;
    } else {
      read_field(entry, line);
    }
  }
  if (!best) return std::nullopt;
  return Lease{std::string(best->address), best->expires_s};
}

}  // namespace mvm::apple_vz
