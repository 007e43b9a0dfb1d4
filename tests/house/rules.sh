#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The ids MVM-P1, MVM-H1, ... of docs/abi-rules.md, of the error texts and of the tests' tags are the same ones.
set -euo pipefail
cd "$1"
rules=docs/abi-rules.md
[ -f "$rules" ] || {
  echo "$rules: is not there"
  exit 1
}
bad=0
complain() {
  echo "$1"
  bad=1
}
ids() { grep -rhoE 'MVM-[PH][0-9]+' "$@" 2>/dev/null | sort -u; }

known=$(ids "$rules")
# What a compiler sees, with a tag in it.
tags=$({
  grep -rhoE '\[MVM-[PH][0-9]+\]' tests --include='*.cpp' --include='*.c' | tr -d '[]'
  # And what the validator's checks, which run as tests on the plugins of this tree, are about.
  ids host/check --include='*_checks.cpp'
} | sort -u)

for id in $known; do
  grep -qx "$id" <<<"$tags" || complain "$id: no test carries it: tag one with [$id]"
done
for id in $(ids sdk host plugins cmake tests CMakeLists.txt --include='*.h' --include='*.hpp' --include='*.cpp' \
  --include='*.c' --include='*.mm' --include='*.proto' --include='*.cmake' --include='CMakeLists.txt' --include='*.md'); do
  grep -qx "$id" <<<"$known" || complain "$id: is used, and $rules doesn't know it: $(grep -rlE "$id\b" sdk host plugins tests | head -n 3 | tr '\n' ' ')"
done
exit $bad
