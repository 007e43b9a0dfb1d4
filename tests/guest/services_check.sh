#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# In the guest of the tests, in the place of its services: starts those that the command line's check= names, talks to each
# over the guest's own loopback (the module vsock_loopback, CID 1), and prints the answers on the console.

say() { echo "check: $*" >/dev/console; }
talk() { socat -t 60 - "VSOCK-CONNECT:1:$1"; }

# shells_whole END: of ten shells that end so right after much output, how many's output came whole.
shells_whole() {
  local n=0 whole=0
  while [ $n -lt 10 ]; do
    if [ "$(echo "head -c 100000 /dev/zero; echo whole; $1" | talk 1022 | tr -d '\0' | head -n 1)" = whole ]; then
      whole=$((whole + 1))
    fi
    n=$((n + 1))
  done
  echo "$whole"
}

check_own() {
  services-of-the-guest
  say echo "$(echo hello | talk 7)"
  say much "$(dd if=/dev/zero bs=64k count=32 2>/dev/null | talk 7 | wc -c)"
  say discard "<$(echo hello | talk 9)>"
  say shell "$(echo 'uname -s; sleep 1; echo late; nonsense' | talk 1022 | sed 's/.*not found/not found/' | tr '\n' ' ' | sed 's/ $//')"
  say shells "$(shells_whole 'exit 127') and $(shells_whole 'kill -9 $$') of 10 whole"
  say web "$(printf 'GET / HTTP/1.0\r\n\r\n' | talk 10080 | tr '\r\n' '  ')"
  say refused "$(echo | talk 4999 2>&1 | sed 's/.*: //')"
  say jq "$(echo '{"answer": 42}' | jq .answer)"
  say owner "$(stat -c '%u:%g %a' /usr/local/bin/services-of-the-guest)"
}

check_contract() {
  contract-guest
  say echo "$(echo hello | talk 10007)"
  say pattern "$(talk 19 </dev/null | head -c 10)"
  say agent "$(printf '\0\0\0\6"Ping"' | talk 5252 | tail -c 6)"
  say shares "$(echo LIST | talk 2049)"
  say dial "$(echo 'DIAL 6000' | talk 2050)"
  say shell "$(echo 'uname -s' | talk 1022)"
  say listens "$(echo 'listen 4998' | talk 2051), $(echo 'and echoes' | talk 4998)"
  echo 'console from the command port' | talk 2051 >/dev/null
}

case $(cat /proc/cmdline) in
  *check=own*) check_own ;;
  *check=contract*) check_contract ;;
esac
