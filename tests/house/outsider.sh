# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Somebody outside of the tree: $scratch, gone in the end with the VMs of what is installed in $usr; none of this user's
# settings; must COMMAND..., die WORDS..., which show what the last command said.
scratch=$(mktemp -d /tmp/mvm-outsider.XXXXXX)
usr=$scratch/usr
clean_up() {
  "$usr/bin/mvmhost" --quiet stop --all --force >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean_up EXIT
export MVM_HOME=$scratch/state MVM_RUNTIME_DIR=$scratch/run XDG_DATA_HOME=$scratch/data
unset MVM_HYPERVISOR MVM_PLUGIN_PATH MVMHOST CMAKE_PREFIX_PATH PKG_CONFIG_PATH CARGO_TARGET_DIR

die() {
  printf '%s\n' "$@" >&2
  [ ! -s "$scratch/log" ] || tail -n 40 "$scratch/log" >&2
  exit 1
}
must() { "$@" >"$scratch/log" 2>&1 || die "failed: $*"; }
