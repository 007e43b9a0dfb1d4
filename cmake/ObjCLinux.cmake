# SPDX-License-Identifier: Apache-2.0
# Objective-C++ with ARC on Linux: clang, Debian's GNUstep and libobjc, and the run time in tests/vz_double/runtime.
# Sets MVM_OBJC_LINUX: ON when all of it is there. Then mvm_objc_target(target) may be used.
# The compilers have to be whole paths: CMake 3.22 to 3.25 look for "clang" beside the C++ compiler only.
set(MVM_OBJC_LINUX OFF)
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  return()
endif()

find_program(MVM_CLANG NAMES clang clang-16 clang-15 clang-14)
find_program(MVM_CLANGXX NAMES clang++ clang++-16 clang++-15 clang++-14)
find_program(MVM_PYTHON NAMES python3)
find_path(MVM_GNUSTEP_INCLUDE Foundation/Foundation.h PATH_SUFFIXES GNUstep)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-libgcc-file-name OUTPUT_VARIABLE mvm_libgcc
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
get_filename_component(mvm_gcc_directory "${mvm_libgcc}" DIRECTORY)
file(GLOB mvm_gcc_directories "${mvm_gcc_directory}/include" "/usr/lib/gcc/*/*/include")
find_path(MVM_LIBOBJC_INCLUDE objc/objc.h PATHS ${mvm_gcc_directories} NO_DEFAULT_PATH)
find_library(MVM_LIBOBJC objc PATHS "${MVM_LIBOBJC_INCLUDE}/..")
find_library(MVM_GNUSTEP_BASE gnustep-base)
foreach(mvm_needed MVM_CLANG MVM_CLANGXX MVM_PYTHON MVM_GNUSTEP_INCLUDE MVM_LIBOBJC_INCLUDE MVM_LIBOBJC MVM_GNUSTEP_BASE)
  if(NOT ${mvm_needed})
    message(STATUS "apple-vz on its double: not built, ${mvm_needed} was not found (scripts/setup installs it)")
    return()
  endif()
endforeach()

set(CMAKE_OBJC_COMPILER "${MVM_CLANG}" CACHE FILEPATH "For Objective-C")
set(CMAKE_OBJCXX_COMPILER "${MVM_CLANGXX}" CACHE FILEPATH "For Objective-C++")
enable_language(OBJC OBJCXX)
set(CMAKE_OBJC_STANDARD 11)
set(CMAKE_OBJCXX_STANDARD 20)
set(CMAKE_OBJCXX_STANDARD_REQUIRED ON)
set(CMAKE_OBJCXX_EXTENSIONS OFF)
set(CMAKE_OBJC_VISIBILITY_PRESET hidden)
set(CMAKE_OBJCXX_VISIBILITY_PRESET hidden)
if(MVM_CCACHE)
  set(CMAKE_OBJC_COMPILER_LAUNCHER "${MVM_CCACHE}" CACHE STRING "")
  set(CMAKE_OBJCXX_COMPILER_LAUNCHER "${MVM_CCACHE}" CACHE STRING "")
endif()

# GCC's objc/ headers as ARC takes them: object_getClass out of line (its body looks into an object), nil a nullptr.
# Written where they change only, or each configuration would compile all of it again.
function(mvm_write_if_other file text)
  set(there "")
  if(EXISTS "${file}")
    file(READ "${file}" there)
  endif()
  if(NOT there STREQUAL text)
    file(WRITE "${file}" "${text}")
  endif()
endfunction()
set(mvm_objc_headers "${CMAKE_BINARY_DIR}/objc-headers")
file(COPY "${MVM_LIBOBJC_INCLUDE}/objc" DESTINATION "${mvm_objc_headers}"
  REGEX "/(runtime|objc)\\.h$" EXCLUDE)
file(READ "${MVM_LIBOBJC_INCLUDE}/objc/runtime.h" mvm_text)
string(REGEX REPLACE "static inline Class[ \n]*object_getClass \\(id object\\)[ \n]*{[^}]*}"
                     "objc_EXPORT Class object_getClass (id object);" mvm_text "${mvm_text}")
mvm_write_if_other("${mvm_objc_headers}/objc/runtime.h" "${mvm_text}")
file(READ "${MVM_LIBOBJC_INCLUDE}/objc/objc.h" mvm_text)
string(REGEX REPLACE "#define nil [^\n]*" "#ifdef __cplusplus\n#define nil nullptr\n#else\n#define nil ((id)0)\n#endif"
                     mvm_text "${mvm_text}")
mvm_write_if_other("${mvm_objc_headers}/objc/objc.h" "${mvm_text}")

# Flags common to every Objective-C file here, and those of ARC; as lists too, for tools that call the compiler.
set(MVM_OBJC_FLAGS -fblocks -fexceptions -fobjc-exceptions -fconstant-string-class=NSConstantString
    -fno-strict-aliasing -pthread -Wno-pedantic)
set(MVM_OBJC_DEFINITIONS _NATIVE_OBJC_EXCEPTIONS GNUSTEP GNUSTEP_BASE_LIBRARY=1 GNU_RUNTIME=1)
set(MVM_OBJC_INCLUDES "${CMAKE_SOURCE_DIR}/tests/vz_double/include" "${mvm_objc_headers}" "${MVM_GNUSTEP_INCLUDE}")
set(MVM_ARC_FLAGS -fobjc-runtime=gnustep-1.9 -fobjc-arc)

set(mvm_is_objc "$<COMPILE_LANGUAGE:OBJC,OBJCXX>")
add_library(mvm-objc-options INTERFACE)
target_compile_options(mvm-objc-options INTERFACE "$<${mvm_is_objc}:${MVM_OBJC_FLAGS}>")
if(MVM_SANITIZE MATCHES "undefined")
  # Both need clang's own library beside what GCC's has; the processes are GCC's.
  target_compile_options(mvm-objc-options INTERFACE "$<${mvm_is_objc}:-fno-sanitize=function,vptr>")
endif()
target_compile_definitions(mvm-objc-options INTERFACE "$<${mvm_is_objc}:${MVM_OBJC_DEFINITIONS}>")
target_include_directories(mvm-objc-options SYSTEM INTERFACE "$<${mvm_is_objc}:${MVM_OBJC_INCLUDES}>")

add_library(mvm-arc-options INTERFACE)
target_link_libraries(mvm-arc-options INTERFACE mvm-objc-options)
target_compile_options(mvm-arc-options INTERFACE
  "$<${mvm_is_objc}:${MVM_ARC_FLAGS};SHELL:-Xclang -fobjc-dispatch-method=legacy>")

# mvm_objc_target(<target>)
#
# The target's .mm files are compiled with ARC against the double's headers, and it is linked to the double. A library
# with Objective-C in it cannot be unloaded.
function(mvm_objc_target target)
  get_target_property(type ${target} TYPE)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${target} PRIVATE mvm-arc-options)
  target_link_libraries(${target} PRIVATE vz-double)
  if(type STREQUAL "MODULE_LIBRARY" OR type STREQUAL "SHARED_LIBRARY")
    target_link_options(${target} PRIVATE -Wl,-z,nodelete)
  endif()
endfunction()

set(MVM_OBJC_LINUX ON)
