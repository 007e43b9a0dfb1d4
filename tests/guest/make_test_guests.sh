#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_test_guests.sh ROOT OUT CONTRACT_GUEST: the guests that the boot tests boot.
set -euo pipefail
root=$1 out=$2 contract_guest=$3
here=$root/tests/guest
"$root/scripts/make-guest" "$out/plain"
"$root/scripts/make-guest" "$out/contract" --services "$contract_guest"
"$root/scripts/make-guest" "$out/checked" --with socat,jq --module vsock_loopback --services "$here/services_check.sh" \
  --add "$root/guest/rootfs/etc/mvm/services:/usr/local/bin/services-of-the-guest:755" --add "$contract_guest"
