#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The types that cross the boundary, as the compiler lays them out, against the dump that was kept of them:
#   abidiff.sh DIRECTORY COMPILER            compares
#   abidiff.sh DIRECTORY COMPILER --freeze   keeps today's, once a growth at an end was looked at (docs/abi-rules.md)
set -euo pipefail
here=$1
compiler=$2
dump=$here/v1/$(uname -m).abi
scratch=$(mktemp -d /tmp/mvm-abi.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
probe() { # HEADERS LIBRARY
  "$compiler" -std=c11 -g -O0 -fPIC -shared -fvisibility=hidden -I"$1" "$here/probe.c" -o "$2"
}
probe "$here/../../sdk/include" "$scratch/now.so"
if [ "${3:-}" = --freeze ]; then
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs "$scratch/now.so" >"$dump"
  exit 0
fi
abidiff "$dump" "$scratch/now.so" || {
  echo "the ABI is not that of $dump: growth at a table's end is frozen with abidiff.sh --freeze, all else is a new major"
  exit 1
}
# That it would have been noticed: a table with a member in its middle.
cp -R "$here/../../sdk/include" "$scratch/changed"
sed 's/^  void\* ctx;/  int64_t in_the_way;\n  void* ctx;/' "$here/../../sdk/include/mvm/abi.h" >"$scratch/changed/mvm/abi.h"
probe "$scratch/changed" "$scratch/changed.so"
! abidiff "$dump" "$scratch/changed.so" >"$scratch/diff" || {
  echo 'a member in the middle of a table was not noticed'
  exit 1
}
grep -q in_the_way "$scratch/diff"
