#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the lines "$ command" of the ```sh blocks in README.md and docs/*.md, each file's in order in one shell, in a
# place of its own that has a kernel file, an image and a directory, with mvmhost in PATH. What "# exit code N" ends,
# has to end so; everything else with 0.
set -euo pipefail
# shellcheck source=tests/house/kernel.sh
. "$(dirname "$0")/kernel.sh"
root=$1
bin=$(dirname "$2")

scratch=$(mktemp -d /tmp/mvm-docs.XXXXXX)
export PATH=$bin:$PATH MVM_HOME=$scratch/state MVM_RUNTIME_DIR=$scratch/run XDG_DATA_HOME=$scratch/data
unset MVM_HYPERVISOR MVM_PLUGIN_PATH
# Authors of plugins have the SDK.
"$3" --install "$(dirname "$bin")" --component sdk --prefix "$scratch/usr" >/dev/null
export CMAKE_PREFIX_PATH=$scratch/usr PKG_CONFIG_PATH=$scratch/usr/share/pkgconfig
clean_up() {
  mvmhost --quiet stop --all --force >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean_up EXIT

# The commands of a file, one a line; continued lines joined.
commands_of() {
  awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 }
       inside && (more || /^\$ /) { line = $0; if (!more) sub(/^\$ /, "", line)
         if (line ~ /\\$/) { sub(/\\$/, "", line); printf "%s", line; more = 1 } else { print line; more = 0 } }' "$1"
}

run_file() {
  local file=$1 place=$scratch/place line wanted exit_code count=0
  rm -rf "$place" "$MVM_HOME"
  mkdir -p "$place/src"
  cd "$place"
  make_kernel vmlinuz
  dd if=/dev/zero of=rootfs.img bs=1 count=0 seek=67108864 2>/dev/null
  echo 'hello from the host' >src/hello.txt
  while IFS= read -r line <&3; do
    wanted=$(sed -nE 's/.*# exit code ([0-9]+)$/\1/p' <<<"$line")
    exit_code=0
    eval "$line" >"$scratch/output" 2>&1 || exit_code=$?
    count=$((count + 1))
    [ "$exit_code" = "${wanted:-0}" ] && continue
    printf '%s: exit code %s, not %s:\n$ %s\n' "$file" "$exit_code" "${wanted:-0}" "$line"
    cat "$scratch/output"
    exit 1
  done 3< <(commands_of "$file")
  mvmhost --quiet stop --all --force
  echo "$file: $count commands"
  total=$((total + count))
}

total=0
for file in "$root/README.md" "$root"/docs/*.md; do run_file "$file"; done
[ $total -ge 15 ] || {
  echo "only $total commands were found"
  exit 1
}
