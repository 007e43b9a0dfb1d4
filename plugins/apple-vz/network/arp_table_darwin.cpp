// SPDX-License-Identifier: Apache-2.0
// As arp(8) reads it: route(4)'s messages by sysctl. Never run on a Mac yet.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <net/if_dl.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/sysctl.h>

#include "arp_table.hpp"

namespace mvm::apple_vz {
namespace {

std::vector<char> link_layer_routes() {
  std::array<int, 6> name = {CTL_NET, PF_ROUTE, 0, AF_INET, NET_RT_FLAGS, RTF_LLINFO};
  std::vector<char> routes;
  size_t size = 0;
  if (::sysctl(name.data(), name.size(), nullptr, &size, nullptr, 0) != 0) return {};
  routes.resize(size + size / 4);  // it may grow meanwhile
  size = routes.size();
  if (::sysctl(name.data(), name.size(), routes.data(), &size, nullptr, 0) != 0) return {};
  routes.resize(size);
  return routes;
}

// Socket addresses in a message stand at multiples of four bytes.
size_t padded(size_t length) { return length == 0 ? sizeof(uint32_t) : (length + 3) & ~size_t{3}; }

template <class T>
bool copy_at(const std::vector<char>& from, size_t at, T& to) {
  if (at > from.size() || from.size() - at < sizeof to) return false;
  std::memcpy(&to, from.data() + at, sizeof to);
  return true;
}

// The neighbour that the message at `at` is of, when its MAC is this one.
std::optional<std::string> address_in(const std::vector<char>& routes, size_t at, const Mac& mac) {
  sockaddr_in address{};
  sockaddr_dl link{};
  at += sizeof(rt_msghdr);
  if (!copy_at(routes, at, address)) return std::nullopt;
  at += padded(address.sin_len);
  if (!copy_at(routes, at, link) || link.sdl_alen != mac.size()) return std::nullopt;
  const size_t mac_at = at + offsetof(sockaddr_dl, sdl_data) + link.sdl_nlen;
  Mac found{};
  if (!copy_at(routes, mac_at, found) || found != mac) return std::nullopt;
  std::array<char, INET_ADDRSTRLEN> text{};
  if (::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size()) == nullptr) return std::nullopt;
  return text.data();
}

}  // namespace

std::optional<std::string> arp_address(const Mac& mac) {
  const std::vector<char> routes = link_layer_routes();
  rt_msghdr message{};
  for (size_t at = 0; copy_at(routes, at, message) && message.rtm_msglen > 0; at += message.rtm_msglen) {
    if (auto found = address_in(routes, at, mac)) return found;
  }
  return std::nullopt;
}

}  // namespace mvm::apple_vz
