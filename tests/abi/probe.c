/* SPDX-License-Identifier: Apache-2.0 */
/* Every type that crosses the boundary, within reach of an exported symbol: what abidw describes and abidiff compares.
 */
#include "mvm/abi.h"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"

MVM_EXPORT mvm_plugin_negotiate_fn mvm_probe_negotiate;
MVM_EXPORT mvm_offer mvm_probe_offer;
MVM_EXPORT mvm_answer mvm_probe_answer;
MVM_EXPORT mvm_host mvm_probe_host;
MVM_EXPORT mvm_log_record mvm_probe_log_record;
MVM_EXPORT mvm_sink mvm_probe_sink;
MVM_EXPORT mvm_bytes mvm_probe_bytes;
MVM_EXPORT mvm_hypervisor_api mvm_probe_hypervisor_api;
MVM_EXPORT mvm_unshare_dir_api mvm_probe_unshare_dir_api;
MVM_EXPORT mvm_pause_api mvm_probe_pause_api;
MVM_EXPORT mvm_guest_connect_api mvm_probe_guest_connect_api;
