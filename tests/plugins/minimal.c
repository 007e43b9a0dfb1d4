/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest legal plugin, in C11 and without a Protobuf library: one VM that does nothing. Where to begin from. */
#include <stdlib.h>
#include <string.h>

#include "mvm/abi.h"

struct mvm_hypervisor {
  unsigned char name[64]; /* of the VM */
  size_t name_size;       /* 0: no VM */
};

static const mvm_bytes nothing = {NULL, 0};

static void fail(mvm_done done, void* user, mvm_status status, const char* message) {
  const mvm_bytes error = {message, strlen(message)};
  done(user, status, nothing, error);
}

/* The string that a message has in field 1: VmSpec.name and StopRequest.name are each the first field written. */
static size_t read_name(mvm_bytes message, unsigned char* name, size_t max) {
  const unsigned char* p = message.data;
  if (message.size < 2 || p[0] != 0x0a || p[1] >= max || p[1] > message.size - 2) return 0;
  memcpy(name, p + 2, p[1]);
  return p[1];
}

/* VmInfo{1: name, 2: VM_STATE_RUNNING} */
static size_t write_vm(const mvm_hypervisor* hv, unsigned char* out) {
  out[0] = 0x0a;
  out[1] = (unsigned char)hv->name_size;
  memcpy(out + 2, hv->name, hv->name_size);
  out[2 + hv->name_size] = 0x10;
  out[3 + hv->name_size] = 0x02;
  return 4 + hv->name_size;
}

/* HypervisorInfo{1: [ELF], 2: one cpu} */
static mvm_status info(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  static const unsigned char bytes[] = {0x0a, 0x01, 0x02, 0x10, 0x01};
  (void)hv;
  (void)error;
  return out->write(out, bytes, sizeof bytes) == 0 ? MVM_OK : MVM_ERR_INTERNAL;
}

static void destroy(mvm_hypervisor* hv) { free(hv); }

static void boot(mvm_hypervisor* hv, mvm_bytes spec, mvm_done done, void* user) {
  unsigned char vm[80];
  mvm_bytes reply = {vm, 0};
  if (hv->name_size != 0) {
    fail(done, user, MVM_ERR_BUSY, "vm: one is running already");
    return;
  }
  hv->name_size = read_name(spec, hv->name, sizeof hv->name);
  if (hv->name_size == 0) {
    fail(done, user, MVM_ERR_INVALID, "spec: no VmSpec with a name");
    return;
  }
  reply.size = write_vm(hv, vm);
  done(user, MVM_OK, reply, nothing);
}

static void stop(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) {
  unsigned char name[64];
  const size_t size = read_name(request, name, sizeof name);
  if (size == 0 || size != hv->name_size || memcmp(name, hv->name, size) != 0) {
    fail(done, user, MVM_ERR_NOT_FOUND, "vm: none of that name");
    return;
  }
  hv->name_size = 0;
  done(user, MVM_OK, nothing, nothing);
}

/* VmList{1: [VmInfo]} */
static mvm_status list(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  unsigned char bytes[82] = {0x0a};
  (void)error;
  if (hv->name_size == 0) return MVM_OK;
  bytes[1] = (unsigned char)write_vm(hv, bytes + 2);
  return out->write(out, bytes, 2u + bytes[1]) == 0 ? MVM_OK : MVM_ERR_INTERNAL;
}

static mvm_status create(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                         const mvm_sink* error) {
  /* Named: what is not named is NULL, and so unsupported. */
  static const mvm_hypervisor_api table = {
      .size = sizeof table, .info = info, .destroy = destroy, .boot = boot, .stop = stop, .list = list};
  (void)host;
  (void)config;
  *api = &table;
  *hv = calloc(1, sizeof **hv);
  if (*hv != NULL) return MVM_OK;
  error->write(error, "out of memory", 13);
  return MVM_ERR_INTERNAL;
}

MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error) {
  if (offer->min_major > MVM_ABI_MAJOR || offer->max_major < MVM_ABI_MAJOR) {
    error->write(error, "speaks ABI 1 only (MVM-P2)", 26);
    return MVM_ERR_ABI;
  }
  answer->major = MVM_ABI_MAJOR;
  answer->minor = MVM_ABI_MINOR;
  memcpy(answer->name, "minimal", sizeof "minimal");
  memcpy(answer->version, "1.0", sizeof "1.0");
  memcpy(answer->vendor, "the tests", sizeof "the tests");
  answer->create = create;
  return MVM_OK;
}
