#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_guest_test.sh ROOT: what scripts/make-guest says to mistakes, and what it leaves when it is killed.
set -euo pipefail
make_guest=$1/scripts/make-guest
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
PATH=$PATH:/usr/sbin:/sbin

failed=0
fail() {
  printf 'FAILED: %s\n' "$1" >&2
  failed=1
}

# refused TEXT ARGUMENT...: make-guest fails, says the text on one line, and makes nothing.
refused() {
  local text=$1 said
  shift
  if said=$("$make_guest" "$scratch/refused" "$@" 2>&1); then fail "make-guest $*: should have failed"; fi
  grep -qF -- "make-guest: $text" <<<"$said" || fail "make-guest $*: should have said \"$text\", not: $said"
  if [ -n "$(find "$scratch/refused" -mindepth 1 2>/dev/null)" ]; then fail "make-guest $*: left something"; fi
}

refused '--nonsense: no such option' --nonsense
refused 'two: one directory is enough' two
refused '--with: takes a value' --with
refused '--size lots: is a number and K, M or G' --size lots
refused 'package "No Such": is no package'\''s name' --with 'No Such'
refused 'package no-such-package: there is none of this name' --with no-such-package
refused 'package no-such-kernel: there is none of this name' --kernel-package no-such-kernel
refused '--add /nowhere/at/all: /nowhere/at/all is not a file that can be read' --add /nowhere/at/all
refused "--add $0:relative: relative is not an absolute path" --add "$0:relative"
refused "--add $0:/../x: /../x is not an absolute path" --add "$0:/../x"
refused "--add $0:/x:rwx: rwx is no mode" --add "$0:/x:rwx"
refused '--services /nowhere: is not a file that can be read' --services /nowhere
refused '/nowhere: is not a file that can be read' --kernel /nowhere
refused "$scratch: has no directory \"kernel\" in it" --kernel "$0" --modules "$scratch"
refused '--modules: goes with --kernel' --modules "$scratch"
refused 'module no_such_driver: this kernel has none of that name' --module no_such_driver
refused 'rootfs.ext4: ' --size 1M

# What an image holds, by debugfs.
listed() { debugfs -R "$1" "$scratch/guest/rootfs.ext4" 2>/dev/null; }
"$make_guest" "$scratch/guest" --size 40M --add "$0:/opt/some file:640"
[ "$(find "$scratch/guest" -mindepth 1 | sort | tr '\n' ' ')" = \
  "$scratch/guest/initramfs.img $scratch/guest/rootfs.ext4 $scratch/guest/vmlinuz " ] || fail 'exactly three files are made'
[ "$(stat -c %s "$scratch/guest/rootfs.ext4")" = $((40 * 1024 * 1024)) ] || fail '--size is the size of rootfs.ext4'
[ "$(du -k "$scratch/guest/rootfs.ext4" | cut -f 1)" -lt $((32 * 1024)) ] || fail 'rootfs.ext4 is sparse'
listed 'stat "/opt/some file"' | grep -q 'Mode:  0640' || fail 'an added file has the mode that was asked for'
for file in / /usr/sbin/init '/opt/some file' /etc/passwd; do
  listed "stat \"$file\"" | grep -qE 'User: +0 +Group: +0 ' || fail "$file belongs to root"
done
e2fsck -fn "$scratch/guest/rootfs.ext4" >/dev/null 2>&1 || fail 'rootfs.ext4 is a sound file system'

# Killed at any moment: what is there under a final name is whole, and the next run finishes.
is_whole() {
  local file
  for file in vmlinuz initramfs.img rootfs.ext4; do
    [ ! -e "$1/$file" ] || [ "$(stat -c %s "$1/$file")" = "$(stat -c %s "$scratch/guest/$file")" ] || return 1
  done
}
for delay in 1 3 5 7 9; do
  "$make_guest" "$scratch/killed" --size 40M --add "$0:/opt/some file:640" &
  victim=$!
  # Not for luck: whatever moment this hits is a good one, and five are better than one.
  sleep "0.$delay"
  kill -KILL "$victim" 2>/dev/null || true
  wait "$victim" 2>/dev/null || true
  is_whole "$scratch/killed" || fail "killed after 0.$delay s: a file is there that is not whole"
done
# Two at once: both finish.
"$make_guest" "$scratch/killed" --size 40M --add "$0:/opt/some file:640" &
first=$!
"$make_guest" "$scratch/killed" --size 40M --add "$0:/opt/some file:640" || fail 'one of two at once failed'
wait "$first" || fail 'the other of two at once failed'
is_whole "$scratch/killed" || fail 'two at once: a file is not whole'
[ -e "$scratch/killed/rootfs.ext4" ] || fail 'two at once: made nothing'
exit $failed
