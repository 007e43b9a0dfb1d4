#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests -> host -> sdk <- plugins/*, the client by itself, and the order of the rooms within host/ (docs/architecture.md).
set -euo pipefail
cd "$1"
bad=0
complain() {
  echo "$1"
  bad=1
}

# "file:line:included" of every #include or #import in the files below $1 that begins with $2: '"' or '<'.
includes() {
  { grep -rnE "^[[:space:]]*#[[:space:]]*(include|import)[[:space:]]*$2" "$1" \
    --include='*.h' --include='*.hpp' --include='*.cpp' --include='*.c' --include='*.mm' --include='*.inc' || true; } |
    sed -E 's/^([^:]+:[0-9]+):[[:space:]]*#[[:space:]]*(include|import)[[:space:]]*["<]([^">]+)[">].*/\1:\3/'
}

is_sdk() {
  case $1 in *..*) return 1 ;; esac
  [ -f "sdk/include/$1" ] || [ -f "sdk/proto/${1%.pb.h}.proto" ]
}

# The SDK: itself, libc and the standard library.
while IFS=: read -r file line name; do
  place=$(cd "$(dirname "$file")" && cd "$(dirname "$name")" 2>/dev/null && pwd) || place=nowhere
  case $place/ in
    "$PWD"/sdk/include/*) [ -f "$place/$(basename "$name")" ] && continue ;;
  esac
  complain "$file:$line: the sdk includes $name, which isn't the sdk's"
done < <(includes sdk '"' | grep -v '^sdk/templates/')
# What authors begin with: the SDK as it is installed.
while IFS=: read -r file line name; do
  is_sdk "$name" || complain "$file:$line: a template includes $name, which isn't the sdk's"
done < <(includes sdk/templates '"')
while IFS=: read -r file line name; do
  case $name in
    sys/* | netinet/* | arpa/*) ;;
    */* | *.pb.h) complain "$file:$line: the sdk includes <$name>: it knows libc and the standard library" ;;
  esac
done < <(includes sdk '<')

# A plugin: itself and the SDK.
for plugin in plugins/*/; do
  plugin=${plugin%/}
  while IFS=: read -r file line name; do
    case $name in *..*) complain "$file:$line: $name leads out of $plugin" ;; esac
    [ -f "$(dirname "$file")/$name" ] || [ -f "$plugin/$name" ] || is_sdk "$name" ||
      complain "$file:$line: $plugin includes $name, which is neither its own nor the sdk's"
  done < <(includes "$plugin" '"')
done

# The host: itself and the SDK; and within it, each room only those named here.
below() {
  case $1 in
    base) echo '' ;;
    disk | forward | control | store | plugin) echo 'base' ;;
    runner) echo 'base disk forward control store plugin' ;;
    check) echo 'base plugin' ;;
    launch) echo 'base check control plugin runner store' ;;
    doctor) echo 'base launch plugin store' ;;
    cli) echo 'base check control doctor store plugin runner launch' ;;
    .) echo 'cli' ;;
    *) echo 'unknown' ;;
  esac
}
while IFS=: read -r file line name; do
  if is_sdk "$name" || [ -f "host/proto/${name%.pb.h}.proto" ]; then continue; fi
  if [ ! -f "host/$name" ] || [[ $name == *..* ]]; then
    complain "$file:$line: the host includes $name, which is neither its own nor the sdk's"
    continue
  fi
  room=$(dirname "${file#host/}")
  other=${name%%/*}
  case " $room $(below "$room") " in
    *" $other "*) ;;
    *) complain "$file:$line: host/$room includes $name: it may know $(below "$room")" ;;
  esac
done < <(includes host '"')

# The client library: itself alone; its header, what C and C++ both have.
while IFS=: read -r file line name; do
  case $name in
    *..*) ;;
    *) { [ -f "client/src/$name" ] || [ -f "client/include/$name" ]; } && continue ;;
  esac
  complain "$file:$line: the client includes $name: it knows nobody in this tree"
done < <(includes client '"')
while IFS=: read -r file line name; do
  case $file:$name in
    client/include/*:std*.h | client/src/*:sys/*) ;;
    client/include/* | *:*/* | *:*.pb.h) complain "$file:$line: the client includes <$name>: it knows libc and the standard library" ;;
  esac
done < <(includes client '<')
# Nobody but the tests knows the client.
while IFS=: read -r file line name; do
  case $name in mvm/client.h) complain "$file:$line: includes the client's header: only tests see it" ;; esac
done < <(for room in host sdk plugins; do includes "$room" '["<]'; done)

# Apple's frameworks: .mm files alone.
while IFS=: read -r file line name; do
  case $file:$name in
    *.mm:*) ;;
    *:Foundation/* | *:Virtualization/* | *:AppKit/*) complain "$file:$line: <$name> belongs in a .mm file" ;;
  esac
done < <(includes host '<' && includes sdk '<' && includes plugins '<')

# Nobody links a plugin or a test.
if grep -nE 'mvm-mock|mvm-apple-vz|mvm-qemu|tests/' host/CMakeLists.txt sdk/CMakeLists.txt; then
  complain 'host and sdk know no plugin and no test'
fi
exit $bad
