# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# make_kernel FILE: the head of an x86 bzImage, which is all that the host and the mock read of a kernel.
make_kernel() {
  dd if=/dev/zero of="$1" bs=1024 count=64 2>/dev/null
  printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
  printf 'HdrS\x0f\x02' | dd of="$1" bs=1 seek=514 conv=notrunc 2>/dev/null
  printf '\x01' | dd of="$1" bs=1 seek=529 conv=notrunc 2>/dev/null # loaded high
}
