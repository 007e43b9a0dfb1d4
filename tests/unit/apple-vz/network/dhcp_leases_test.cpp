// SPDX-License-Identifier: Apache-2.0
#include "network/dhcp_leases.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"

using mvm::apple_vz::Mac;
using mvm::apple_vz::newest_lease;
using mvm::apple_vz::parse_mac;

namespace {
constexpr Mac kMac{0xee, 0xa7, 0x85, 0x09, 0x92, 0x39};

std::string leased_address(std::string_view leases, const Mac& mac) {
  const auto lease = newest_lease(leases, mac);
  return lease ? lease->address : "none";
}
}  // namespace

TEST_CASE("A MAC is read with and without leading zeros") {
  CHECK(parse_mac("ee:a7:85:9:92:39") == kMac);
  CHECK(parse_mac("EE:A7:85:09:92:39") == kMac);
}

TEST_CASE("What is not a MAC is none") {
  for (const char* text : {"", "ee:a7:85:9:92", "ee:a7:85:9:92:39:1", "ee:a7:85:009:92:39", "ee:a7::9:92:39",
                           "ee:a7:85:-9:92:39", "ee:a7:85:g:92:39", "ee:a7:85:9:92:39 "}) {
    INFO(text);
    CHECK_FALSE(parse_mac(text));
  }
}

TEST_CASE("The guest's own lease is found, not the first in the file") {
  CHECK(leased_address("{\n\tip_address=192.168.64.2\n\thw_address=1,2:0:0:0:0:1\n\tlease=0x7\n}\n"
                       "{\n\tip_address=192.168.64.3\n\thw_address=1,ee:a7:85:9:92:39\n\tlease=0x6\n}\n",
                       kMac) == "192.168.64.3");
}

TEST_CASE("Of several leases of one MAC the one that expires last counts, in either order") {
  const std::string older = "{\nip_address=192.168.64.4\nhw_address=1,ee:a7:85:9:92:39\nlease=0x65000000\n}\n";
  const std::string newer = "{\nip_address=192.168.64.5\nhw_address=1,ee:a7:85:9:92:39\nlease=0x66000000\n}\n";
  CHECK(leased_address(older + newer, kMac) == "192.168.64.5");
  CHECK(leased_address(newer + older, kMac) == "192.168.64.5");
}

TEST_CASE("A DUID, an entry without an address, one that is cut off and an empty file give none") {
  CHECK(leased_address("{\nip_address=192.168.64.6\nhw_address=ff,ee:a7:85:9:92:39\nlease=0x7\n}\n", kMac) == "none");
  CHECK(leased_address("{\nhw_address=1,ee:a7:85:9:92:39\nlease=0x7\n}\n", kMac) == "none");
  CHECK(leased_address("{\nip_address=192.168.64.6\nhw_address=1,ee:a7:85:9:92:39\n", kMac) == "none");
  CHECK(leased_address("", kMac) == "none");
}
