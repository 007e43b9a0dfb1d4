# SPDX-License-Identifier: Apache-2.0
# How everything in this tree is compiled.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Host and plugin hide their symbols from each other: docs/abi-rules.md, MVM-P1 and MVM-H1.
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# For plugin apple-vz; here, since a language belongs to the directory above all that link to it.
if(APPLE AND MVM_BUILD_PLUGINS)
  enable_language(OBJCXX)
  set(CMAKE_OBJCXX_STANDARD 20)
  set(CMAKE_OBJCXX_STANDARD_REQUIRED ON)
  set(CMAKE_OBJCXX_EXTENSIONS OFF)
  set(CMAKE_OBJCXX_VISIBILITY_PRESET hidden)
endif()

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

find_program(MVM_CCACHE ccache)
if(MVM_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${MVM_CCACHE}" CACHE STRING "")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${MVM_CCACHE}" CACHE STRING "")
  if(APPLE)
    set(CMAKE_OBJCXX_COMPILER_LAUNCHER "${MVM_CCACHE}" CACHE STRING "")
  endif()
endif()

find_package(Threads REQUIRED)

# Link to it: warnings, and the sanitizers that were asked for.
add_library(mvm-options INTERFACE)
target_compile_options(mvm-options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers
                                             # False alarms of GCC 12 on "literal" + std::string (gcc#105651).
                                             $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
                                             $<$<BOOL:${MVM_WERROR}>:-Werror>)
target_link_libraries(mvm-options INTERFACE Threads::Threads)
if(MVM_SANITIZE)
  add_compile_options(-fsanitize=${MVM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MVM_SANITIZE})
  # Asio's fences, beside its mutexes: GCC warns that ThreadSanitizer does not see them.
  if(MVM_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan>)
  endif()
endif()
