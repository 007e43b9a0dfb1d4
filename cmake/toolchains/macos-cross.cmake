# SPDX-License-Identifier: Apache-2.0
# mvmhost and its plugins for macOS, built on Linux with clang and lld:
#
#   cmake -G Ninja -B build-macos -DCMAKE_TOOLCHAIN_FILE=cmake/toolchains/macos-cross.cmake \
#     -DMACOS_SDK=/path/to/MacOSX.sdk -DCMAKE_PREFIX_PATH=/path/to/dependencies \
#     -DMACOS_COMPILER_RT=/path/to/libclang_rt.osx.a -DMVM_BUILD_TESTS=OFF
#
# Nothing of Apple's comes with this, or is fetched by it. What it takes, each a cache variable or in the environment:
#
#   MACOS_SDK          the directory of an SDK that you may use for this (macOS 15 or newer, for what apple-vz calls)
#   MACOS_ARCH         arm64 (default) or x86_64
#   MACOS_COMPILER_RT  clang's own library for macOS, which the SDK has not and the distribution's clang neither; plugin
#                      apple-vz asks by it which macOS it runs on (___isPlatformVersionAtLeast). Left out: link without it
#
# And of CMake's: CMAKE_PREFIX_PATH, where the dependencies for macOS are (Boost's headers, Protobuf, spdlog, fmt, CLI11,
# tl-expected); nothing is looked for in this machine's own. protoc is this machine's: of the same version as that
# Protobuf. CMAKE_OSX_DEPLOYMENT_TARGET: 12.0 unless set.
#
# codesign is a Mac's. The linker signs arm64 code ad hoc, without entitlements: sign mvmhost before it boots anything, with
# rcodesign here or codesign there; the configuration says the command.

set(CMAKE_SYSTEM_NAME Darwin)
foreach(name IN ITEMS MACOS_SDK MACOS_ARCH MACOS_COMPILER_RT)
  if(NOT ${name} AND DEFINED ENV{${name}})
    set(${name} "$ENV{${name}}")
  endif()
endforeach()
# CMake's own trials read this file again, and know nothing else.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MACOS_SDK MACOS_ARCH MACOS_COMPILER_RT)

if(NOT MACOS_SDK)
  message(FATAL_ERROR "MACOS_SDK: is not set: name the directory of a macOS SDK that you may use, by -DMACOS_SDK=DIR or in "
                      "the environment")
endif()
if(NOT IS_DIRECTORY "${MACOS_SDK}")
  message(FATAL_ERROR "MACOS_SDK: ${MACOS_SDK} is not a directory: name that of a macOS SDK, such as MacOSX.sdk")
endif()
foreach(part IN ITEMS usr/include System/Library/Frameworks/Virtualization.framework)
  if(NOT IS_DIRECTORY "${MACOS_SDK}/${part}")
    message(FATAL_ERROR "MACOS_SDK: ${MACOS_SDK} has no ${part}: name the directory of a whole macOS SDK, such as "
                        "MacOSX.sdk")
  endif()
endforeach()
if(NOT MACOS_ARCH)
  set(MACOS_ARCH arm64)
endif()
if(NOT MACOS_ARCH MATCHES "^(arm64|x86_64)$")
  message(FATAL_ERROR "MACOS_ARCH: ${MACOS_ARCH} is neither arm64 nor x86_64")
endif()
if(MACOS_COMPILER_RT AND NOT EXISTS "${MACOS_COMPILER_RT}")
  message(FATAL_ERROR "MACOS_COMPILER_RT: ${MACOS_COMPILER_RT} is not there: name clang's libclang_rt.osx.a")
endif()

set(CMAKE_SYSTEM_PROCESSOR "${MACOS_ARCH}")
set(CMAKE_OSX_ARCHITECTURES "${MACOS_ARCH}" CACHE STRING "Architecture")
set(CMAKE_OSX_SYSROOT "${MACOS_SDK}" CACHE PATH "The SDK")
set(CMAKE_OSX_DEPLOYMENT_TARGET 12.0 CACHE STRING "The oldest macOS that this is for")

# The tools of one LLVM: the newest clang's, and what lies beside it.
set(llvm_versions 21 20 19 18 17 16 15 14)
list(TRANSFORM llvm_versions PREPEND clang- OUTPUT_VARIABLE clang_names)
find_program(MACOS_CLANG NAMES clang ${clang_names} DOC "clang that compiles for macOS")
mark_as_advanced(MACOS_CLANG)
if(NOT MACOS_CLANG)
  message(FATAL_ERROR "clang: was not found; Debian and Ubuntu have it in the packages clang, lld and llvm")
endif()
file(REAL_PATH "${MACOS_CLANG}" llvm_bin)
get_filename_component(llvm_bin "${llvm_bin}" DIRECTORY)

# macos_tool(VARIABLE name package)
function(macos_tool variable name package)
  find_program(${variable} NAMES "${name}" HINTS "${llvm_bin}" DOC "${name}, for macOS")
  mark_as_advanced(${variable})
  if(NOT ${variable})
    message(FATAL_ERROR "${name}: was not found, neither in ${llvm_bin} nor in PATH; Debian and Ubuntu have it in the "
                        "package ${package}")
  endif()
endfunction()
macos_tool(MACOS_CLANGXX clang++ clang)
macos_tool(MACOS_LINKER ld64.lld lld)
macos_tool(CMAKE_AR llvm-ar llvm)
macos_tool(CMAKE_RANLIB llvm-ranlib llvm)
macos_tool(CMAKE_NM llvm-nm llvm)
macos_tool(CMAKE_STRIP llvm-strip llvm)
macos_tool(CMAKE_INSTALL_NAME_TOOL llvm-install-name-tool llvm)

foreach(language IN ITEMS C OBJC CXX OBJCXX)
  set(CMAKE_${language}_COMPILER "${MACOS_CLANG}")
  set(CMAKE_${language}_COMPILER_TARGET "${MACOS_ARCH}-apple-macos${CMAKE_OSX_DEPLOYMENT_TARGET}")
endforeach()
foreach(language IN ITEMS CXX OBJCXX)
  set(CMAKE_${language}_COMPILER "${MACOS_CLANGXX}")
  set(CMAKE_${language}_FLAGS_INIT "-stdlib=libc++")  # a distribution's clang may have another by default
  # A libc++ of this machine's would come before the SDK's.
  if(IS_DIRECTORY "${MACOS_SDK}/usr/include/c++/v1")
    string(APPEND CMAKE_${language}_FLAGS_INIT " -nostdinc++ -isystem \"${MACOS_SDK}/usr/include/c++/v1\"")
  endif()
endforeach()
# Not --ld-path: clang 14 then does not know that it is lld, which takes the platform otherwise than Apple's linker did.
get_filename_component(linker_directory "${MACOS_LINKER}" DIRECTORY)
foreach(kind IN ITEMS EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "-fuse-ld=lld -B\"${linker_directory}\"")
endforeach()
if(MACOS_COMPILER_RT)
  foreach(language IN ITEMS C OBJC CXX OBJCXX)
    set(CMAKE_${language}_STANDARD_LIBRARIES "\"${MACOS_COMPILER_RT}\"")
  endforeach()
endif()

# Libraries, headers and packages from the SDK and the dependencies alone; programs from this machine alone.
set(CMAKE_FIND_ROOT_PATH "${MACOS_SDK}" ${CMAKE_PREFIX_PATH})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
