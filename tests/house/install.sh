#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `cmake --install` into an empty prefix: what stands there works without the build tree.
set -euo pipefail
build=$2
cmake=$3
scratch=$(mktemp -d /tmp/mvm-install.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export MVM_HOME=$scratch/state MVM_RUNTIME_DIR=$scratch/run XDG_DATA_HOME=$scratch/data
unset MVM_HYPERVISOR MVM_PLUGIN_PATH
"$cmake" --install "$build" --prefix "$scratch/usr" >"$scratch/log" 2>&1 || {
  cat "$scratch/log"
  exit 1
}
for file in bin/mvmhost include/mvm/abi.h include/mvm/plugin.hpp share/mvm/proto/mvm/v1/hypervisor.proto; do
  [ -f "$scratch/usr/$file" ] || {
    echo "$file: was not installed:"
    cat "$scratch/log"
    exit 1
  }
done
find "$scratch/usr" -name mvmhost.1 | grep -q . || {
  echo 'mvmhost.1: was not installed'
  exit 1
}
"$scratch/usr/bin/mvmhost" plugins | tee "$scratch/plugins"
grep -qE "^mock .* ok +$scratch/usr/lib/mvm/plugins/libmvm-mock\." "$scratch/plugins"
