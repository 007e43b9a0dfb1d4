// SPDX-License-Identifier: Apache-2.0
// The directories that the host shares, where the guest mounts them as they come.
#pragma once

#include <stdbool.h>

enum { MAX_SHARES = 64, TAG_BYTES = 36 };

struct share {
  char tag[TAG_BYTES + 2];  // and a newline, as it is read
  char root[256];           // where it is mounted
  bool read_only;
};

// The shares in force, sorted by tag; what was taken away is no longer mounted. Waits, some seconds at most, for
// devices that are plugged in but not yet at work: the host has said "shared" by then.
int find_shares(struct share* shares);

// With --unix: TAG=DIR, or TAG=DIR:ro. False if it cannot be parsed.
bool add_local_share(const char* spec);
