#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A clone on a file system that can share blocks (XFS, in a file that is mounted: for root) takes no room for its data,
# and neither it nor the image sees what is written to the other. 77: cannot be tried here.
set -euo pipefail
host=$1
mock=$2
tests=$(dirname "$0")/..
# shellcheck source=tests/house/kernel.sh
. "$tests/house/kernel.sh"

skip() {
  echo "skipped: $1"
  exit 77
}
die() {
  echo "$1" >&2
  exit 1
}
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || skip 'only root mounts'
command -v mkfs.xfs >/dev/null || skip 'mkfs.xfs is not here: scripts/setup --ci installs it'

scratch=$(mktemp -d)
export MVM_HOME=$scratch/disk/home MVM_RUNTIME_DIR=$scratch/run
leave() {
  "$host" stop --all --force >/dev/null 2>&1 || true
  cd /
  mountpoint -q "$scratch/disk" && umount "$scratch/disk"
  rm -rf "$scratch"
}
trap leave EXIT
mkdir "$scratch/disk" "$scratch/run"
truncate -s 512M "$scratch/xfs"
mkfs.xfs -q "$scratch/xfs"
mount -o loop "$scratch/xfs" "$scratch/disk" 2>"$scratch/why" || skip "no XFS can be mounted here: $(cat "$scratch/why")"

cd "$scratch/disk"
make_kernel vmlinuz
dd if=/dev/urandom of=root.img bs=1M count=64 status=none
truncate -s 96M root.img
used_kib() { sync && df --output=used -k . | tail -n 1; }
image=$(sha256sum <root.img)
before=$(used_kib)
"$host" boot demo --plugin "$mock" --kernel vmlinuz --rootfs root.img
"$host" stop demo
own=$MVM_HOME/vms/demo/rootfs.img
[ "$(sha256sum <"$own")" = "$image" ] || die 'the clone is another image'
[ "$(stat -c %a "$own")" = 600 ] || die "the clone has mode $(stat -c %a "$own")"
grown=$(($(used_kib) - before))
[ $grown -lt 8192 ] || die "the clone of 64 MiB took $grown KiB: its blocks are not shared"

dd if=/dev/zero of="$own" bs=1M count=1 conv=notrunc status=none
[ "$(sha256sum <root.img)" = "$image" ] || die 'what was written to the clone is in the image'
written=$(sha256sum <"$own")
dd if=/dev/urandom of=root.img bs=1M count=1 seek=2 conv=notrunc status=none
[ "$(sha256sum <"$own")" = "$written" ] || die 'what was written to the image is in the clone'
