#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An author of plugins, with nothing but what is installed, in an empty directory: new, build, check, boot, in each language
# of the templates; and what goes wrong says what to do.
set -euo pipefail
# shellcheck source=tests/house/kernel.sh
. "$(dirname "$0")/kernel.sh"
# shellcheck source=tests/house/outsider.sh
. "$(dirname "$0")/outsider.sh"
source=$1
build=$2
cmake=$3
# fails CODE TEXT COMMAND...
fails() {
  local code=$1 text=$2 got=0
  shift 2
  "$@" >"$scratch/log" 2>&1 || got=$?
  [ "$got" = "$code" ] || die "exit code $got, not $code: $*"
  grep -qF -- "$text" "$scratch/log" || die "does not say \"$text\": $*"
}
case $(uname -s) in Darwin) suffix=dylib ;; *) suffix=so ;; esac

# The SDK alone takes no compiler and none of the host's libraries.
must env CC=/nonexistent CXX=/nonexistent "$cmake" -S "$source/sdk" -B "$scratch/sdk"
must "$cmake" --install "$scratch/sdk" --prefix "$scratch/sdk-only"
must "$cmake" --install "$build" --component sdk --prefix "$scratch/component"
diff -r -x mvm-sdkConfigVersion.cmake "$scratch/sdk-only" "$scratch/component" || die 'the component sdk is not what sdk/ installs by itself'
must "$cmake" --install "$build" --prefix "$usr"
for file in bin/mvmhost lib/mvm/plugins/libmvm-mock.$suffix include/mvm/abi.h share/mvm/proto/mvm/v1/hypervisor.proto \
  share/cmake/mvm-sdk/mvm-sdkConfig.cmake share/pkgconfig/mvm-sdk.pc share/man/man1/mvmhost.1 \
  share/doc/mvmhost/plugin-authors.md; do
  [ -f "$usr/$file" ] || die "$file: is not installed"
done
# Every header of the SDK is, and what an author is told of them names those for C++.
while read -r header; do
  [ -f "$usr/include/$header" ] || die "$header: is not installed"
  case $header in mvm/hypervisor.hpp | *.h) continue ;; esac  # what the others stand on
  grep -qF "\`$header\`" "$usr/share/doc/mvmhost/plugin-authors.md" || die "$header: plugin-authors.md does not name it"
done < <(cd "$source/sdk/include" && find mvm -type f)

export PATH=$usr/bin:$PATH CMAKE_PREFIX_PATH=$usr
mkdir "$scratch/empty"
cd "$scratch/empty"
make_kernel "$scratch/vmlinuz"

# make_plugin LANGUAGE: new, ci, boot.
make_plugin() {
  local name=my-$1 library
  must mvmhost plugin new "$name" --lang "$1" "$name"
  must "$name/ci"
  library=$PWD/$name/build/lib/mvm/plugins/libmvm-$name.$suffix
  must mvmhost plugin check --strict "$library"
  must mvmhost plugin info "$library"
  must mvmhost --plugin "$library" boot "vm-$1" --kernel "$scratch/vmlinuz"
  mvmhost list | grep -qE "^vm-$1 +running +$name " || die "vm-$1: does not run: $(mvmhost list)"
  must mvmhost stop "vm-$1" --force
  echo "$1: made, built, checked, booted"
}
languages='c cpp'
if command -v cargo >/dev/null; then languages="$languages rust"; fi
for language in $languages; do make_plugin "$language"; done

# A plugin in C is one call of a C compiler, too; and a project of C alone knows no C++.
must env CXX=/nonexistent "$cmake" -S my-c -B c-alone
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$scratch/sdk-only/share/pkgconfig
  # The flags are words.
  # shellcheck disable=SC2046
  must cc -std=c11 -D_POSIX_C_SOURCE=200809L $(pkg-config --cflags mvm-sdk) my-c/plugin.c $(pkg-config --libs mvm-sdk) -o "libmvm-my-c.$suffix"
  must mvmhost plugin check "libmvm-my-c.$suffix"
fi
lines=$(wc -l <my-c/plugin.c)
[ "$lines" -lt 120 ] || die "the smallest plugin in C has $lines lines"

# An installed plugin is found by its name.
must "$cmake" --install my-c/build --prefix "$usr"
mvmhost plugins | grep -qE "^my-c .* ok +$usr/lib/mvm/plugins/libmvm-my-c\." || die "my-c: is not found: $(mvmhost plugins)"

# What goes wrong.
fails 2 'is not empty' mvmhost plugin new other --lang c my-c
fails 2 'is the name of a plugin that is there' mvmhost plugin new my-c --lang c again
fails 2 'is the name of a plugin that is there' mvmhost plugin new mock --lang c again
fails 2 '(MVM-P14)' mvmhost plugin new No_Name --lang c again
fails 2 '--lang' mvmhost plugin new other --lang cobol again
fails 1 'again/deep' mvmhost plugin new other --lang c again/deep
[ ! -e again ] || die 'a project that was refused left a directory'
sed 's/find_package(mvm-sdk 1 /find_package(mvm-sdk 2 /' my-c/CMakeLists.txt >CMakeLists.txt
fails 1 'compatible with requested version "2"' "$cmake" -S . -B other-major
grep -q 'version: 1\.0' "$scratch/log" || die 'an SDK of another major does not say which it is'
