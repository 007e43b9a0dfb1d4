// SPDX-License-Identifier: Apache-2.0
// macOS names the six octets otherwise than glibc does.
#pragma once
#include_next <net/ethernet.h>

typedef struct mvm_ether_addr {
  unsigned char octet[6];
} ether_addr_t;
