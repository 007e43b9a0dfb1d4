#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake/toolchains/macos-cross.cmake, as far as it goes without an SDK of Apple's: on directories and stub libraries that
# are made here, in which a C program without headers is compiled and linked, and mvmhost is configured.
set -euo pipefail
root=$1
cmake=$2
toolchain=$root/cmake/toolchains/macos-cross.cmake
unset MACOS_SDK MACOS_ARCH MACOS_COMPILER_RT
bad=0
complain() {
  echo "$1"
  bad=1
}

clang=$(command -v clang) || {
  echo 'skipped: clang is not there (scripts/setup --ci installs it)'
  exit 77
}
llvm=$(dirname "$(readlink -f "$clang")")
for tool in ld64.lld llvm-ar llvm-install-name-tool; do
  [ -x "$llvm/$tool" ] || command -v "$tool" >/dev/null || {
    echo "skipped: $tool is not there (scripts/setup --ci installs it)"
    exit 77
  }
done

scratch=$(mktemp -d /tmp/mvm-cross.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# configure SOURCE BUILD [argument...]: 0 where it worked; what it said is in BUILD.log.
configure() {
  local source=$1 build=$2
  shift 2
  "$cmake" -G Ninja -S "$source" -B "$build" "-DCMAKE_TOOLCHAIN_FILE=$toolchain" "$@" >"$build.log" 2>&1
}

# ---- refusals ----
mkdir -p project 'an sdk' half/usr/include
cat >project/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(tiny C)
find_package(tiny-dependency CONFIG REQUIRED)
find_path(OF_THIS_MACHINE stdlib.h)
file(WRITE "${CMAKE_BINARY_DIR}/found" "${tiny-dependency_DIR};${OF_THIS_MACHINE}")
add_library(part STATIC part.c)
add_executable(tiny main.c)
target_link_libraries(tiny PRIVATE part)
END
echo 'int part(void) { return 0; }' >project/part.c
echo 'int puts(const char*); int part(void); int main(void) { return puts("x") + part(); }' >project/main.c

# refused SENTENCE [argument...]
refused() {
  local sentence=$1
  shift
  rm -rf refused
  if configure project refused "$@"; then
    complain "the configuration with [$*] should have failed"
  elif ! tr -s ' \n' ' ' <refused.log | grep -qF -- "$sentence"; then
    complain "the configuration with [$*] does not say \"$sentence\":"
    cat refused.log
  fi
}
refused 'MACOS_SDK: is not set'
refused 'MACOS_SDK: /none is not a directory' -DMACOS_SDK=/none
refused "has no usr/include" "-DMACOS_SDK=$scratch/an sdk"
refused "has no System/Library/Frameworks/Virtualization.framework" "-DMACOS_SDK=$scratch/half"

# ---- an SDK of stubs, and dependencies of stubs ----
mkdir -p sdk/usr/include/c++/v1 sdk/usr/lib sdk/System/Library/Frameworks/Virtualization.framework
# What CMake's own look for threads takes.
cat >sdk/usr/include/pthread.h <<'END'
#define NULL ((void*)0)
typedef void* pthread_t;
int pthread_create(pthread_t*, void*, void* (*)(void*), void*), pthread_detach(pthread_t), pthread_cancel(pthread_t);
int pthread_join(pthread_t, void**), pthread_atfork(void*, void*, void*), pthread_exit(void*);
END
# stub NAME INSTALL-NAME SYMBOL...
stub() {
  local name=$1 install_name=$2
  shift 2
  cat >"sdk/usr/lib/$name.tbd" <<END
--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos, x86_64-macos ]
install-name: '$install_name'
exports:
  - targets: [ arm64-macos, x86_64-macos ]
    symbols: [ $(IFS=,; echo "$*") ]
...
END
}
stub libSystem /usr/lib/libSystem.B.dylib _puts dyld_stub_binder _pthread_create _pthread_detach \
  _pthread_cancel _pthread_join _pthread_atfork _pthread_exit
stub libc++ /usr/lib/libc++.1.dylib __ZdlPv
stub libobjc /usr/lib/libobjc.A.dylib _objc_msgSend

packages=dependencies/lib/cmake
for package in tiny-dependency Protobuf spdlog fmt CLI11 tl-expected Catch2; do mkdir -p "$packages/$package"; done
echo '' >"$packages/tiny-dependency/tiny-dependency-config.cmake"
mkdir -p dependencies/include/boost
touch dependencies/include/boost/config.hpp
printf '#define BOOST_VERSION 107400\n#define BOOST_LIB_VERSION "1_74"\n' >dependencies/include/boost/version.hpp
# package NAME TARGET...
package() {
  local name=$1 target
  shift
  for target in "$@"; do
    printf 'add_library(%s INTERFACE IMPORTED)\nset_target_properties(%s PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "%s")\n' \
      "$target" "$target" "$scratch/dependencies/include"
  done >"$packages/$name/${name}Config.cmake"
}
package Protobuf protobuf::libprotobuf protobuf::libprotobuf-lite
echo 'set(Protobuf_VERSION 5.29.0)' >>"$packages/Protobuf/ProtobufConfig.cmake"
package spdlog spdlog::spdlog_header_only
package fmt fmt::fmt
package CLI11 CLI11::CLI11
package tl-expected tl::expected
package Catch2 Catch2::Catch2
# shellcheck disable=SC2016  # CMake expands it
echo 'list(APPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")' >>"$packages/Catch2/Catch2Config.cmake"
printf 'function(catch_discover_tests)\nendfunction()\n' >"$packages/Catch2/Catch.cmake"
given=("-DMACOS_SDK=$scratch/sdk" "-DCMAKE_PREFIX_PATH=$scratch/dependencies")
refused 'MACOS_ARCH: ppc is neither arm64 nor x86_64' "${given[@]}" -DMACOS_ARCH=ppc
refused 'MACOS_COMPILER_RT: /none.a is not there' "${given[@]}" -DMACOS_COMPILER_RT=/none.a

# ---- a program of no headers is compiled and linked ----
# The bytes of a file from an offset, as hexadecimal digits.
bytes() { od -An -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'; }
# expect FILE CPU TYPE: a 64-bit Mach-O file.
expect() {
  local is
  is="$(bytes "$1" 0 4) $(bytes "$1" 4 4) $(bytes "$1" 12 4)"
  [ "$is" = "cffaedfe $2 $3" ] || complain "$1: its header is $is, not cffaedfe $2 $3"
}
object=01000000
executable=02000000
bundle=08000000
arm64=0c000001
x86_64=07000001
for arch in arm64 x86_64; do
  # The second time by the environment.
  cpu=$arm64
  if [ $arch = arm64 ]; then
    configure project "$arch" "${given[@]}" || { cat "$arch.log" && exit 1; }
  else
    cpu=$x86_64
    MACOS_SDK=$scratch/sdk MACOS_ARCH=x86_64 configure project "$arch" "${given[1]}" || { cat "$arch.log" && exit 1; }
  fi
  "$cmake" --build "$arch" -v >"$arch.log" 2>&1 || { cat "$arch.log" && exit 1; }
  expect "$arch/CMakeFiles/tiny.dir/main.c.o" $cpu $object
  expect "$arch/tiny" $cpu $executable
  for flag in "--target=$arch-apple-macos12.0" "-isysroot $scratch/sdk" '-mmacosx-version-min=12.0'; do
    grep -qF -- "$flag" "$arch.log" || complain "$arch: nothing was compiled with $flag"
  done
  [ "$(cat $arch/found)" = "$scratch/$packages/tiny-dependency;OF_THIS_MACHINE-NOTFOUND" ] ||
    complain "$arch: dependencies were looked for in this machine: $(cat $arch/found)"
done

# ---- mvmhost and its tests are configured, and a plugin in C built ----
command -v protoc >/dev/null || {
  echo 'protoc is not there'
  exit 1
}
cp arm64/libpart.a runtime.a
configure "$root" mvmhost "${given[@]}" "-DMACOS_COMPILER_RT=$scratch/runtime.a" || {
  cat mvmhost.log
  exit 1
}
tr -s ' \n' ' ' <mvmhost.log | grep -qF 'mvmhost: will not be signed, there is no codesign' ||
  complain 'mvmhost: its configuration does not say that it will not be signed'
for tool in 'rcodesign sign --entitlements-xml-path host/mvmhost.entitlements' \
  'codesign --force --sign - --entitlements host/mvmhost.entitlements'; do
  tr -s ' \n' ' ' <mvmhost.log | grep -qF -- "$tool" || complain "mvmhost: its configuration does not name: $tool"
done
# how TARGET: the commands that make it.
how() { ninja -C mvmhost -t commands "$1"; }
mm=$(how mvm-apple-vz | grep -F 'configuration.mm.o -c') || complain 'mvm-apple-vz: configuration.mm is not compiled'
for flag in -fobjc-arc -std=c++20 -fvisibility=hidden --target=arm64-apple-macos12.0 -Wshadow; do
  case $mm in *" $flag "*) ;; *) complain "configuration.mm: is compiled without $flag: $mm" ;; esac
done
plugin=$(how mvm-apple-vz | grep -F -- '-o lib/mvm/plugins/libmvm-apple-vz.dylib') ||
  complain 'mvm-apple-vz: no libmvm-apple-vz.dylib is linked'
for part in -bundle -exported_symbols_list '-framework Virtualization' '-framework Foundation' "$scratch/runtime.a"; do
  case $plugin in *"$part"*) ;; *) complain "libmvm-apple-vz.dylib: is linked without $part: $plugin" ;; esac
done
[ -n "$(how unit-apple-vz-machine)" ] || complain 'unit-apple-vz-machine: is not built on a Mac'
case $(how mvmhost) in *codesign*) complain 'mvmhost: is signed by a codesign that is not there' ;; esac

cat >plugin.c <<'END'
#define SEEN __attribute__((visibility("default")))
SEEN int mvm_plugin_negotiate(void);
int mvm_plugin_negotiate(void) { return 0; }
SEEN int another(void);
int another(void) { return 1; }
END
mkdir plugin
cat >plugin/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.22)
project(plugin C)
add_library(mvm-sdk INTERFACE)
add_library(mvm::sdk ALIAS mvm-sdk)
include("$root/sdk/cmake/MvmPlugin.cmake")
mvm_add_plugin(tiny "$scratch/plugin.c")
END
configure plugin plugin-build "${given[@]}" || { cat plugin-build.log && exit 1; }
"$cmake" --build plugin-build >plugin-build.log 2>&1 || { cat plugin-build.log && exit 1; }
expect plugin-build/libmvm-tiny.dylib $arm64 $bundle
symbols=$("$llvm/llvm-nm" -g --defined-only --format=just-symbols plugin-build/libmvm-tiny.dylib)
[ "$symbols" = _mvm_plugin_negotiate ] || complain "libmvm-tiny.dylib: exports $symbols"
exit $bad
