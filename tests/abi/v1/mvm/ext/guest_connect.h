/* SPDX-License-Identifier: Apache-2.0 */
/* Extension "mvm.guest-connect/1": connections that the guest opens to a vsock port of the host (CID 2). */
#ifndef MVM_EXT_GUEST_CONNECT_H
#define MVM_EXT_GUEST_CONNECT_H

#include "../abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MVM_EXT_GUEST_CONNECT "mvm.guest-connect/1"

/* Every port at once, where the hypervisor can (HypervisorInfo.guest_connect_any_port). VMADDR_PORT_ANY's value. */
#define MVM_GUEST_PORT_ANY 0xffffffffu

/* [any] The guest opened a connection to `port`. On MVM_OK the host owns fd; on any other status the plugin keeps it,
 * closes it and resets the guest's connection. Prompt: the host does not wait in it. */
typedef mvm_status (*mvm_guest_connect_fn)(void* user, uint32_t port, int fd);

typedef struct mvm_guest_connect_api {
  size_t size;

  /* [control] Sets who takes the guest's connections to `port`, or to MVM_GUEST_PORT_ANY. Before or after boot; holds
   * until the instance ends or it is set again. on_connect NULL: nobody any more, and when the call returns no
   * on_connect runs. MVM_ERR_UNSUPPORTED for MVM_GUEST_PORT_ANY where the hypervisor needs each port by number. */
  mvm_status (*listen)(mvm_hypervisor* hv, uint32_t port, mvm_guest_connect_fn on_connect, void* user,
                       const mvm_sink* error);
} mvm_guest_connect_api;

#ifdef __cplusplus
}
#endif

#endif /* MVM_EXT_GUEST_CONNECT_H */
