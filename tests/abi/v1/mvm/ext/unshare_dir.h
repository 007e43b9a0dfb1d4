/* SPDX-License-Identifier: Apache-2.0 */
/* Extension "mvm.unshare-dir/1": takes a directory away from a running guest again. */
#ifndef MVM_EXT_UNSHARE_DIR_H
#define MVM_EXT_UNSHARE_DIR_H

#include "../abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MVM_EXT_UNSHARE_DIR "mvm.unshare-dir/1"

typedef struct mvm_unshare_dir_api {
  size_t size;

  /* [control & running] request: mvm.v1.UnshareDirRequest. MVM_ERR_NOT_FOUND for a tag that is not shared,
   * MVM_ERR_BUSY when the hypervisor cannot remove one that was there at boot. */
  void (*unshare_dir)(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user);
} mvm_unshare_dir_api;

#ifdef __cplusplus
}
#endif

#endif /* MVM_EXT_UNSHARE_DIR_H */
