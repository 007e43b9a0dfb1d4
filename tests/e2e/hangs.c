/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that never comes back from create, or from info (MVM_HANGS_IN). */
#include <string.h>

#include <unistd.h>

#include "mvm/abi.h"

struct mvm_hypervisor {
  int unused;
};

static void hang_in(const char* where) {
  while (strcmp(where, MVM_HANGS_IN) == 0) pause();
}

static mvm_status info(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  (void)hv, (void)out, (void)error;
  hang_in("info");
  return MVM_OK;
}

static void destroy(mvm_hypervisor* hv) { (void)hv; }

static void succeed(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) {
  const mvm_bytes nothing = {NULL, 0};
  (void)hv, (void)request;
  done(user, MVM_OK, nothing, nothing);
}

static mvm_status list(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  (void)hv, (void)out, (void)error;
  return MVM_OK;
}

static mvm_status create(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                         const mvm_sink* error) {
  static const mvm_hypervisor_api table = {
      .size = sizeof table, .info = info, .destroy = destroy, .boot = succeed, .stop = succeed, .list = list};
  static mvm_hypervisor the_one;
  (void)host, (void)config, (void)error;
  hang_in("create");
  *hv = &the_one;
  *api = &table;
  return MVM_OK;
}

MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error) {
  (void)offer, (void)error;
  answer->major = MVM_ABI_MAJOR;
  answer->minor = MVM_ABI_MINOR;
  strcpy(answer->name, "hangs-in-" MVM_HANGS_IN);
  strcpy(answer->version, "1.0");
  strcpy(answer->vendor, "the tests");
  answer->create = create;
  return MVM_OK;
}
