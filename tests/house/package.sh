#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/package: one archive, whose name says for what; the mvmhost in it finds its plugins.
set -euo pipefail
root=$1
build=$2
scratch=$(mktemp -d /tmp/mvm-package.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export MVM_HOME=$scratch/state MVM_RUNTIME_DIR=$scratch/run
unset MVM_HYPERVISOR MVM_PLUGIN_PATH
cd "$scratch"
archive=$("$root/scripts/package" --build "$build" "$scratch/out")
[ -f "$archive" ] || {
  echo "scripts/package: says that it wrote $archive, which is not there"
  exit 1
}
[ "$(ls out)" = "$(basename "$archive")" ] || {
  echo "scripts/package: wrote more than $archive: $(ls out)"
  exit 1
}
name=$(basename "$archive" .tar.gz)
[[ $name =~ ^mvmhost-[0-9]+\.[0-9]+\.[0-9]+-[a-z]+-[a-z0-9_]+$ ]] || {
  echo "scripts/package: $name does not say version, system and machine"
  exit 1
}
mkdir elsewhere
tar -C elsewhere -xzf "$archive"
[ "$(ls elsewhere)" = "$name" ] || {
  echo "$archive: unpacks to more than $name: $(ls elsewhere)"
  exit 1
}
[ -f "elsewhere/$name/LICENSE" ] || {
  echo "$archive: has no LICENSE"
  exit 1
}
"elsewhere/$name/bin/mvmhost" plugins | tee plugins
grep -qE "^mock .* ok +$scratch/elsewhere/$name/lib/mvm/plugins/libmvm-mock\." plugins
if "$root/scripts/package" --build "$scratch" "$scratch/out" 2>refusal; then
  echo 'scripts/package: packs a directory in which nothing was built'
  exit 1
fi
grep -q 'nothing is built there; run scripts/build first' refusal
