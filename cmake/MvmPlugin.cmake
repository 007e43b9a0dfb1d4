# SPDX-License-Identifier: Apache-2.0
# mvm_add_plugin(NAME source...): a hypervisor plugin, the library libmvm-NAME that exports mvm_plugin_negotiate and
# nothing else (MVM-P1). The target is called mvm-NAME.

set(MVM_PLUGIN_DIR "${CMAKE_CURRENT_LIST_DIR}")

function(mvm_hide_all_but_entry target)
  if(APPLE)
    target_link_options(${target} PRIVATE "-Wl,-exported_symbol,_mvm_plugin_negotiate")
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
  if(MVM_PLUGIN_OUTPUT_DIRECTORY)
    set_target_properties(mvm-${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${MVM_PLUGIN_OUTPUT_DIRECTORY}")
  endif()
  target_link_libraries(mvm-${name} PRIVATE mvm::sdk)
  mvm_hide_all_but_entry(mvm-${name})
endfunction()
