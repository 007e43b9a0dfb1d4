# SPDX-License-Identifier: Apache-2.0
# Protobuf on both sides of the plugin boundary, as docs/abi-rules.md (MVM-P1, MVM-H1) asks: the host links the full
# runtime statically and exports nothing; plugins of this tree use lite code with the shared lite runtime. Where no static
# archive exists (Homebrew), the host takes the shared one, and lite plugins still live beside it.
#
#   mvm_proto_library(TARGET (FULL|LITE) ROOT dir FILES a/b.proto ...)

if(APPLE)
  find_package(Protobuf CONFIG QUIET)
endif()
if(NOT Protobuf_FOUND)
  find_package(Protobuf REQUIRED)
endif()

# What writes the C++ code runs here, whatever the code is for.
set(mvm_protoc protobuf::protoc)
if(CMAKE_CROSSCOMPILING)
  find_program(MVM_PROTOC protoc REQUIRED DOC "This machine's protoc, of the version of the Protobuf that is linked")
  set(mvm_protoc "${MVM_PROTOC}")
endif()

if(NOT TARGET mvm-protobuf-full)
  add_library(mvm-protobuf-full INTERFACE)
  add_library(mvm-protobuf-lite INTERFACE)
  find_library(MVM_PROTOBUF_STATIC NAMES libprotobuf.a)
  find_library(MVM_PROTOBUF_LITE NAMES protobuf-lite)
  # From 22 on Protobuf stands on Abseil, which only its CMake package knows how to link.
  if(MVM_PROTOBUF_STATIC AND Protobuf_VERSION VERSION_LESS 4)
    find_library(MVM_ZLIB NAMES z)
    target_link_libraries(mvm-protobuf-full INTERFACE "${MVM_PROTOBUF_STATIC}" $<$<BOOL:${MVM_ZLIB}>:${MVM_ZLIB}>)
    target_include_directories(mvm-protobuf-full SYSTEM INTERFACE ${Protobuf_INCLUDE_DIRS})
    if(NOT APPLE)
      target_link_options(mvm-protobuf-full INTERFACE -Wl,--exclude-libs,libprotobuf.a)
    endif()
  else()
    target_link_libraries(mvm-protobuf-full INTERFACE protobuf::libprotobuf)
  endif()
  if(TARGET protobuf::libprotobuf-lite)
    target_link_libraries(mvm-protobuf-lite INTERFACE protobuf::libprotobuf-lite)
  else()
    target_link_libraries(mvm-protobuf-lite INTERFACE "${MVM_PROTOBUF_LITE}")
    target_include_directories(mvm-protobuf-lite SYSTEM INTERFACE ${Protobuf_INCLUDE_DIRS})
  endif()
endif()

function(mvm_proto_library target)
  cmake_parse_arguments(arg "FULL;LITE" "ROOT" "FILES;IMPORT" ${ARGN})
  set(out "${CMAKE_CURRENT_BINARY_DIR}/${target}.pb")
  file(MAKE_DIRECTORY "${out}")
  set(flavour "")
  if(arg_LITE)
    set(flavour "lite:")
  endif()
  set(imports "-I${arg_ROOT}")
  foreach(dir IN LISTS arg_IMPORT)
    list(APPEND imports "-I${dir}")
  endforeach()
  set(sources "")
  foreach(file IN LISTS arg_FILES)
    string(REGEX REPLACE "\\.proto$" "" stem "${file}")
    add_custom_command(
      OUTPUT "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h"
      COMMAND ${mvm_protoc} ${imports} "--cpp_out=${flavour}${out}" "${arg_ROOT}/${file}"
      DEPENDS "${arg_ROOT}/${file}" ${mvm_protoc}
      VERBATIM)
    list(APPEND sources "${out}/${stem}.pb.cc")
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  if(arg_LITE)
    target_link_libraries(${target} PUBLIC mvm-protobuf-lite)
  else()
    target_link_libraries(${target} PUBLIC mvm-protobuf-full)
  endif()
endfunction()
