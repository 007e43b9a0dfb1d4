/* SPDX-License-Identifier: Apache-2.0 */
/* Extension "mvm.pause/1": holds a running guest's processors, and lets them go on. */
#ifndef MVM_EXT_PAUSE_H
#define MVM_EXT_PAUSE_H

#include "../abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MVM_EXT_PAUSE "mvm.pause/1"

/* A paused VM keeps its connections, shares and console; nothing of the guest's runs, and list says VM_STATE_PAUSED. A
 * forced stop ends it. A graceful one cannot be heard by a guest that is held: hosts resume it first. */
typedef struct mvm_pause_api {
  size_t size;

  /* [control & running] request: mvm.v1.PauseRequest. Completes when the guest is held. One that is held already:
   * MVM_OK. */
  void (*pause)(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user);

  /* [control & running] request: mvm.v1.ResumeRequest. Completes when the guest runs. One that runs: MVM_OK. */
  void (*resume)(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user);
} mvm_pause_api;

#ifdef __cplusplus
}
#endif

#endif /* MVM_EXT_PAUSE_H */
