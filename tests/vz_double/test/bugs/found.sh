#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: found.sh REGEX COMMAND…   The command has to fail, and to say why in words that the REGEX matches.
set -u
wanted=$1
shift
said=$("$@" 2>&1) && {
  printf '%s\nfound.sh: nothing was found\n' "$said"
  exit 1
}
printf '%s\n' "$said"
grep -Eq -e "$wanted" <<<"$said" || {
  echo "found.sh: it failed, but no line matches: $wanted"
  exit 1
}
