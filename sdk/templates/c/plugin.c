/* SPDX-License-Identifier: 0BSD */
/* The hypervisor @NAME@: one VM, which does nothing yet. "Here" marks where a real one begins. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mvm/abi.h"
#include "mvm/negotiate.h"
#include "mvm/wire.h"

struct mvm_hypervisor {
  const mvm_host* host;
  pthread_mutex_t lock;
  char vm[64]; /* its name; empty: there is none */
};

static const mvm_bytes nothing = {NULL, 0};
static mvm_status fail(char words[512], mvm_status status, const char* what, mvm_bytes which, const char* why) {
  const int size = which.size < 300 ? (int)which.size : 300;
  snprintf(words, 512, "%s%.*s: %s", what, size, size ? (const char*)which.data : "", why);
  return status;
}

/* VmInfo{name, VM_STATE_RUNNING} */
static mvm_bytes vm_info(const mvm_hypervisor* hv, mvm_writer* w) {
  mvm_write_bytes(w, 1, (mvm_bytes){hv->vm, strlen(hv->vm)});
  mvm_write_number(w, 2, 2);
  return mvm_written(w);
}

/* HypervisorInfo{kernel_formats: [BZIMAGE, ELF, ARM64_IMAGE]} */
static mvm_status info(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  (void)hv, (void)error;
  return out->write(out, "\x0a\x03\x01\x02\x03", 5) == 0 ? MVM_OK : MVM_ERR_INTERNAL;
}

static mvm_status start_vm(mvm_hypervisor* hv, mvm_bytes spec, char words[512]) {
  mvm_field name, kernel, option, feature;
  char path[4096] = "";
  if (mvm_find_field(spec, 1, &name) < 1 || name.bytes.size == 0 || name.bytes.size >= sizeof hv->vm)
    return fail(words, MVM_ERR_INVALID, "spec", nothing, "is no VmSpec with a name");
  if (mvm_find_field(spec, 11, &feature) > 0)
    return fail(words, MVM_ERR_UNSUPPORTED, "feature ", feature.bytes, "is not known here");
  if (mvm_find_field(spec, 10, &option) > 0 && mvm_find_field(option.bytes, 1, &option) >= 0)
    return fail(words, MVM_ERR_INVALID, "option ", option.bytes, "is not known here: there are none");
  if (hv->vm[0] != '\0') return fail(words, MVM_ERR_BUSY, "vm ", name.bytes, "one is running already");
  if (mvm_find_field(spec, 2, &kernel) > 0)
    snprintf(path, sizeof path, "%.*s", (int)kernel.bytes.size, (const char*)kernel.bytes.data);
  if (access(path, R_OK) != 0) return fail(words, MVM_ERR_NOT_FOUND, "kernel ", kernel.bytes, "cannot be read");
  memcpy(hv->vm, name.bytes.data, name.bytes.size); /* Here: start it, on a thread of yours if that takes time. */
  return MVM_OK;
}

static void boot(mvm_hypervisor* hv, mvm_bytes spec, mvm_done done, void* user) {
  char words[512] = "";
  unsigned char bytes[80];
  mvm_writer reply = {bytes, sizeof bytes, 0, 0};
  pthread_mutex_lock(&hv->lock);
  const mvm_status status = start_vm(hv, spec, words);
  if (status == MVM_OK) vm_info(hv, &reply);
  pthread_mutex_unlock(&hv->lock);
  done(user, status, mvm_written(&reply), (mvm_bytes){words, strlen(words)});
}

static mvm_status end_vm(mvm_hypervisor* hv, mvm_bytes request, char words[512]) {
  mvm_field name;
  if (mvm_find_field(request, 1, &name) < 0)
    return fail(words, MVM_ERR_INVALID, "request", nothing, "is no StopRequest");
  if (name.bytes.size == 0 || name.bytes.size != strlen(hv->vm) ||
      memcmp(name.bytes.data, hv->vm, name.bytes.size) != 0)
    return fail(words, MVM_ERR_NOT_FOUND, "vm ", name.bytes, "is not there");
  unsigned char bytes[80]; /* Here: end it. VmEvent{name, exited{EXIT_REASON_HOST_STOP}} */
  mvm_writer event = {bytes, sizeof bytes, 0, 0};
  mvm_write_bytes(&event, 1, name.bytes);
  mvm_write_bytes(&event, 2, (mvm_bytes){"\x08\x04", 2});
  memset(hv->vm, 0, sizeof hv->vm);
  hv->host->event(hv->host, mvm_written(&event));
  return MVM_OK;
}

static void stop(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) {
  char words[512] = "";
  pthread_mutex_lock(&hv->lock);
  const mvm_status status = end_vm(hv, request, words);
  pthread_mutex_unlock(&hv->lock);
  done(user, status, nothing, (mvm_bytes){words, strlen(words)});
}

static void destroy(mvm_hypervisor* hv) { free(hv); }

/* VmList{vms: [VmInfo]} */
static mvm_status list(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) {
  unsigned char bytes[80], all[96];
  mvm_writer vm = {bytes, sizeof bytes, 0, 0}, vms = {all, sizeof all, 0, 0};
  (void)error; /* any thread, at any time */
  pthread_mutex_lock(&hv->lock);
  if (hv->vm[0] != '\0') mvm_write_bytes(&vms, 1, vm_info(hv, &vm));
  pthread_mutex_unlock(&hv->lock);
  return out->write(out, all, vms.size) == 0 ? MVM_OK : MVM_ERR_INTERNAL;
}

static mvm_status create(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                         const mvm_sink* error) {
  static const mvm_hypervisor_api table = {
      .size = sizeof table, .info = info, .destroy = destroy, .boot = boot, .stop = stop, .list = list};
  (void)config;
  *api = &table;
  *hv = calloc(1, sizeof **hv);
  if (*hv == NULL) return error->write(error, "memory: none left", 17), MVM_ERR_INTERNAL;
  (*hv)->host = host;
  pthread_mutex_init(&(*hv)->lock, NULL);
  return MVM_OK;
}

MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error) {
  return mvm_negotiate(offer, answer, error, "@NAME@", "0.1.0", "the author", create);
}
