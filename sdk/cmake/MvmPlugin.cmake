# SPDX-License-Identifier: Apache-2.0
# mvm_add_plugin(NAME source...): a hypervisor plugin, the library libmvm-NAME that exports mvm_plugin_negotiate and
# nothing else (MVM-P1). The target is called mvm-NAME.
#
#   MVM_PLUGIN_OUTPUT_DIRECTORY   where it is built
#   MVM_PLUGIN_INSTALL_DIR        where `cmake --install` puts it, below the prefix; empty: nowhere

set(MVM_PLUGIN_DIR "${CMAKE_CURRENT_LIST_DIR}")

function(mvm_hide_all_but_entry target)
  if(APPLE)
    target_link_options(${target} PRIVATE "-Wl,-exported_symbols_list,${MVM_PLUGIN_DIR}/mvm-plugin.symbols")
  else()
    target_link_options(${target} PRIVATE "-Wl,--version-script=${MVM_PLUGIN_DIR}/mvm-plugin.map"
                                          "-Wl,--exclude-libs,ALL")
    # A sanitizer's runtime is the executable's: its symbols are open in a library, by design.
    if(NOT MVM_SANITIZE)
      target_link_options(${target} PRIVATE "-Wl,-z,defs")
    endif()
  endif()
endfunction()

function(mvm_add_plugin name)
  string(LENGTH "${name}" length)
  if(NOT name MATCHES "^[a-z0-9][a-z0-9-]*$" OR length GREATER 32)
    message(FATAL_ERROR "mvm_add_plugin: \"${name}\" is no plugin's name: [a-z0-9][a-z0-9-]{0,31} (MVM-P14)")
  endif()
  add_library(mvm-${name} MODULE ${ARGN})
  set_target_properties(mvm-${name} PROPERTIES
    PREFIX "lib"
    OUTPUT_NAME "mvm-${name}"
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  if(APPLE)
    set_target_properties(mvm-${name} PROPERTIES SUFFIX ".dylib")
  endif()
  # mvm/plugin.hpp is C++20; a C plugin's project may have no C++ at all.
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("CXX" IN_LIST languages)
    target_compile_features(mvm-${name} PRIVATE cxx_std_20)
  endif()
  if(MVM_PLUGIN_OUTPUT_DIRECTORY)
    set_target_properties(mvm-${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${MVM_PLUGIN_OUTPUT_DIRECTORY}")
  endif()
  if(MVM_PLUGIN_INSTALL_DIR)
    install(TARGETS mvm-${name} LIBRARY DESTINATION "${MVM_PLUGIN_INSTALL_DIR}")
  endif()
  target_link_libraries(mvm-${name} PRIVATE mvm::sdk)
  mvm_hide_all_but_entry(mvm-${name})
endfunction()
