# SPDX-License-Identifier: Apache-2.0
# find_package(mvm-client): the target mvm::client.
include("${CMAKE_CURRENT_LIST_DIR}/mvm-clientTargets.cmake")
