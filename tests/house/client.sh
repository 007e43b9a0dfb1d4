#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A program outside of the tree, with nothing but what is installed: the example of docs/client.md by pkg-config and by
# CMake; the library's name and symbols; the header as C11 and as C++.
set -euo pipefail
# shellcheck source=tests/house/kernel.sh
. "$(dirname "$0")/kernel.sh"
# shellcheck source=tests/house/outsider.sh
. "$(dirname "$0")/outsider.sh"
source=$1
build=$2
cmake=$3

must "$cmake" --install "$build" --component client --prefix "$scratch/alone"
library=$(find "$scratch/alone" -name 'libmvmclient.*' -type f)
lib=$(dirname "$library")
strangers=$(find "$scratch/alone" -type f | grep -vE '/(client\.h|libmvmclient\.[^/]*|mvm-client[^/]*)$') || true
[ -z "$strangers" ] || die "the component client installs more than the client: $strangers"

mkdir "$scratch/place"
cd "$scratch/place"
make_kernel vmlinuz
awk '/^```c$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$source/docs/client.md" >demo.c
[ -s demo.c ] || die 'docs/client.md: has no example in C'

echo '#include <mvm/client.h>' | tee header.c >header.cpp
strict='-Wall -Wextra -pedantic-errors -Werror -fsyntax-only'
# The flags are words.
# shellcheck disable=SC2086
must cc -std=c11 $strict -I"$scratch/alone/include" header.c
# shellcheck disable=SC2086
must c++ -std=c++11 $strict -I"$scratch/alone/include" header.cpp

if [ "$(uname -s)" = Linux ]; then
  readelf -d "$library" | grep -q 'SONAME.*\[libmvmclient\.so\.0\]' || die "$library: is not libmvmclient.so.0"
  declared=$(grep -oE '\bmvmc_[a-z_]+\(' "$scratch/alone/include/mvm/client.h" | tr -d '(' | sort -u)
  exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u)
  [ "$declared" = "$exported" ] || die "$library: exports [$exported], and the header declares [$declared]"
fi

# run_demo PROGRAM: what the example says it does, by the mvmhost beside the library.
run_demo() {
  local said
  said=$(PATH=/usr/bin:/bin LD_LIBRARY_PATH=$usr/${lib#"$scratch/alone/"} "$1" vmlinuz) || die "$1: failed"
  [ "$said" = $'hello\nrunning' ] || die "$1: says \"$said\""
}
must "$cmake" --install "$build" --prefix "$usr"
[ -e "$usr/bin/mvmhost" ] || die 'mvmhost: was not installed'
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$lib/pkgconfig
  # shellcheck disable=SC2046
  must cc -std=c11 -Wall -Werror demo.c $(pkg-config --cflags --libs mvm-client) -o demo
  run_demo ./demo
fi

cat >CMakeLists.txt <<'END_OF_FILE'
cmake_minimum_required(VERSION 3.22)
project(demo C)
find_package(mvm-client 0.1 REQUIRED)
add_executable(demo demo.c)
target_link_libraries(demo PRIVATE mvm::client)
END_OF_FILE
must "$cmake" -S . -B build "-DCMAKE_PREFIX_PATH=$usr"
must "$cmake" --build build
run_demo build/demo
