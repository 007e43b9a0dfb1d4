/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry point's work for authors in C:
 *
 *   MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error) {
 *     return mvm_negotiate(offer, answer, error, "my-hypervisor", "1.0.0", "My Company", create);
 *   }
 */
#ifndef MVM_NEGOTIATE_H
#define MVM_NEGOTIATE_H

#include <string.h>

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef mvm_status (*mvm_create_fn)(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv,
                                    const mvm_hypervisor_api** api, const mvm_sink* error);

static inline void mvm_copy_name(char* to, size_t capacity, const char* from) {
  const size_t size = strlen(from);
  const size_t n = size < capacity ? size : capacity - 1;
  memcpy(to, from, n);
  to[n] = '\0';
}

/* Chooses this header's major and what the host knows of it, and fills in the answer; or says why it cannot (MVM-P2).
 */
static inline mvm_status mvm_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error,
                                       const char* name, const char* version, const char* vendor,
                                       mvm_create_fn create) {
  static const char too_small[] = "negotiation: the host's tables are too small (MVM-H2)";
  static const char no_common[] = "negotiation: no common ABI: this plugin speaks ABI 1 (MVM-P2)";
  const size_t smallest_offer = offsetof(mvm_offer, max_major) + sizeof offer->max_major;
  const size_t smallest_answer = offsetof(mvm_answer, create) + sizeof answer->create;
  if (offer == NULL || answer == NULL || offer->size < smallest_offer || answer->size < smallest_answer) {
    if (error != NULL && error->write != NULL) error->write(error, too_small, sizeof too_small - 1);
    return MVM_ERR_ABI;
  }
  if (offer->min_major > MVM_ABI_MAJOR || offer->max_major < MVM_ABI_MAJOR) {
    if (error != NULL && error->write != NULL) error->write(error, no_common, sizeof no_common - 1);
    return MVM_ERR_ABI;
  }
  answer->major = MVM_ABI_MAJOR;
  answer->minor = MVM_ABI_MINOR;
  if (offer->size >= sizeof *offer && offer->max_major == MVM_ABI_MAJOR && offer->max_minor < answer->minor) {
    answer->minor = offer->max_minor;
  }
  mvm_copy_name(answer->name, sizeof answer->name, name);
  mvm_copy_name(answer->version, sizeof answer->version, version);
  mvm_copy_name(answer->vendor, sizeof answer->vendor, vendor);
  answer->create = create;
  return MVM_OK;
}

#ifdef __cplusplus
}
#endif

#endif /* MVM_NEGOTIATE_H */
