/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mvm plugin ABI, version 1: the C boundary between a host and a hypervisor plugin.
 *
 * A plugin is a shared library that exports exactly one symbol, mvm_plugin_negotiate. Through it the two sides
 * agree on a version and exchange tables of function pointers. Bytes cross, objects do not: structured data
 * travels as serialised Protobuf messages (package mvm.v1, the .proto files beside this header).
 *
 * The rules named here (MVM-P... bind plugins, MVM-H... bind hosts) are written out in docs/abi-rules.md.
 *
 * Conventions
 *   Prefix      mvm_host_* is implemented by the host, mvm_hypervisor_* and mvm_plugin_* by the plugin.
 *   Brackets    say on which thread and in which state a function may be called:
 *                 [any]                any thread, at any time between create and destroy, concurrently
 *                 [control]            calls marked so never overlap one another on one instance
 *                 [control & idle]     ... and no VM of that name is booting or running
 *                 [control & running]  ... and the VM is running
 *                 [any & running]      any thread, while the VM is running
 *   Prompt      No function may wait for the guest or for anything slow; slow verbs answer by completion.
 *   Inputs      are borrowed: valid until the call returns, never kept (MVM-P6, MVM-H5).
 *   Outputs     go to a sink or a completion of the caller's (MVM-P7); nothing allocated on one side is freed on
 *               the other.
 *   Strings     are UTF-8, with a length, not terminated.
 *   Exceptions  of any language never cross (MVM-P9, MVM-H6).
 *
 * Compiles as C11 and as C++; knows libc alone.
 */
#ifndef MVM_ABI_H
#define MVM_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MVM_ABI_MAJOR 1u
#define MVM_ABI_MINOR 0u

/* The one symbol that a plugin exports (MVM-P1). */
#define MVM_ENTRY_SYMBOL "mvm_plugin_negotiate"

#if defined(_WIN32)
#define MVM_EXPORT __declspec(dllexport)
#else
#define MVM_EXPORT __attribute__((visibility("default")))
#endif

/* ---- status ---------------------------------------------------------------------------------------------- */

/* 0 is success, anything below 0 is a failure that comes with a message (MVM-P8). */
typedef int32_t mvm_status;

#define MVM_OK 0
#define MVM_ERR_INVALID (-1)     /* the request is malformed, or a value in it is not acceptable */
#define MVM_ERR_UNSUPPORTED (-2) /* this hypervisor, or this system, cannot do that; never a fake success */
#define MVM_ERR_NOT_FOUND (-3)   /* no such VM, tag or file */
#define MVM_ERR_BUSY (-4)        /* in use, or not possible in the VM's present state */
#define MVM_ERR_DENIED (-5)      /* permission or entitlement missing */
#define MVM_ERR_DEADLINE (-6)    /* did not happen within the time that the request gave */
#define MVM_ERR_CANCELLED (-7)   /* a stop or destroy overtook it */
#define MVM_ERR_REFUSED (-8)     /* the guest answered and refused (no listener on that vsock port) */
#define MVM_ERR_ABI (-9)         /* the other side broke a rule of this ABI */
#define MVM_ERR_INTERNAL (-10)   /* anything else; the message says what */

/* ---- bytes, sinks, completions ---------------------------------------------------------------------------- */

/* Borrowed bytes. data may be NULL when size is 0. */
typedef struct mvm_bytes {
  const void* data;
  size_t size;
} mvm_bytes;

/* Where the callee writes an output. Owned by the caller, valid until the call returns. write may be called any
 * number of times, appends, and returns 0, or another value when the sink takes no more (the callee then gives up
 * with MVM_ERR_INTERNAL). */
typedef struct mvm_sink {
  size_t size; /* sizeof(mvm_sink) as the caller knows it */
  void* ctx;
  int32_t (*write)(const struct mvm_sink* sink, const void* data, size_t size);
} mvm_sink;

/* Answers a slow verb. Called exactly once per accepted call (MVM-P4), on any thread, possibly before the verb
 * returns. reply (on MVM_OK) and error (otherwise) are borrowed by the callee. The host only enqueues there and
 * never calls back into the plugin (MVM-H4). user is the value that came with the call and nothing else. */
typedef void (*mvm_done)(void* user, mvm_status status, mvm_bytes reply, mvm_bytes error);

/* As mvm_done, with a connected stream socket on MVM_OK. The fd becomes the host's: close-on-exec, open, used by
 * nobody else (MVM-P5). On failure fd is -1. */
typedef void (*mvm_fd_done)(void* user, mvm_status status, int fd, mvm_bytes error);

/* ---- what the host offers ---------------------------------------------------------------------------------- */

#define MVM_LOG_TRACE 0
#define MVM_LOG_DEBUG 1
#define MVM_LOG_INFO 2
#define MVM_LOG_WARN 3
#define MVM_LOG_ERROR 4

typedef struct mvm_log_record {
  size_t size;
  int32_t level;     /* MVM_LOG_... */
  uint32_t line;     /* 0: unknown */
  mvm_bytes message; /* already formatted, one line, no trailing newline */
  mvm_bytes file;    /* may be empty */
} mvm_log_record;

/* Valid from create until destroy returns. A plugin reads only the first `size` bytes (MVM-P3). */
typedef struct mvm_host {
  size_t size;
  uint32_t abi_major;
  uint32_t abi_minor;
  void* ctx;

  /* [any] Non-zero when a record of that level would be kept. */
  int32_t (*log_enabled)(const struct mvm_host* host, int32_t level);

  /* [any] Hands one record to the host's log. Copies what it keeps. */
  void (*log)(const struct mvm_host* host, const mvm_log_record* record);

  /* [any] Tells of something that happened by itself: a serialised mvm.v1.VmEvent. Enqueues only. Not before the
   * boot call, and nothing more after VM_EXITED (MVM-P11). */
  void (*event)(const struct mvm_host* host, mvm_bytes vm_event);

  /* [any] Opens the host's end of the VM's console: a connected stream socket. What the plugin writes, the guest's
   * output, the host keeps in console.log, size-bounded, and drains at all times. What the host writes is typed: the
   * plugin hands it to the guest where HypervisorInfo.console_input says so, and drops it elsewhere. *fd becomes the
   * plugin's, close-on-exec. At most once per boot. The plugin closes it when the VM is gone. */
  mvm_status (*console_open)(const struct mvm_host* host, mvm_bytes vm_name, int* fd);

  /* [any] An optional table of the host's by id ("mvm.host.NAME/REV"), or NULL. */
  const void* (*get_extension)(const struct mvm_host* host, const char* id);
} mvm_host;

/* ---- what the plugin implements ------------------------------------------------------------------------------ */

/* One instance of the plugin: opaque, the plugin's own. */
typedef struct mvm_hypervisor mvm_hypervisor;

/* Append-only (MVM-P3, MVM-H2): a reader takes min(its own sizeof, size) and treats the rest as NULL. A NULL slot
 * means MVM_ERR_UNSUPPORTED; info, destroy, boot and stop may not be NULL (MVM-P2). */
typedef struct mvm_hypervisor_api {
  size_t size;

  /* [any] Writes a serialised mvm.v1.HypervisorInfo: capabilities and limits, as data, true for this system. */
  mvm_status (*info)(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error);

  /* [control] Ends the instance. Stops what still runs, delivers every open completion first (MVM-P10), then frees
   * itself: no callback and no thread of the plugin's afterwards. */
  void (*destroy)(mvm_hypervisor* hv);

  /* [control & idle] Boots a VM. spec: mvm.v1.VmSpec. Completes with mvm.v1.VmInfo when the hypervisor says
   * *running*. A failure leaves nothing behind. Features listed in VmSpec.required_features that the plugin does
   * not know are refused with MVM_ERR_UNSUPPORTED (MVM-P12). */
  void (*boot)(mvm_hypervisor* hv, mvm_bytes spec, mvm_done done, void* user);

  /* [control] Stops a VM, also one that is still booting (whose completion then gets MVM_ERR_CANCELLED).
   * request: mvm.v1.StopRequest. Completes with MVM_OK when the VM is really gone, with MVM_ERR_DEADLINE when a
   * graceful stop did not end it in time (the VM then still runs), and MVM_ERR_NOT_FOUND when there is none. */
  void (*stop)(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user);

  /* [any] Writes a serialised mvm.v1.VmList of the instance's VMs. Changes nothing. */
  mvm_status (*list)(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error);

  /* [any & running] Connects to a vsock port of the guest. request: mvm.v1.VsockConnectRequest. Keeps trying a port
   * that nobody listens on yet until the request's timeout: then MVM_ERR_REFUSED if timeout_ms is 0, else
   * MVM_ERR_DEADLINE. */
  void (*vsock_connect)(mvm_hypervisor* hv, mvm_bytes request, mvm_fd_done done, void* user);

  /* [control & running] Shares a directory of the host into the running guest. request: mvm.v1.ShareDirRequest. */
  void (*share_dir)(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user);

  /* [any] An optional table by id (mvm/ext/...), or NULL. The same answer for the same id, for the instance's
   * whole life; NULL for an id it does not know, whatever its bytes (MVM-P13). */
  const void* (*get_extension)(mvm_hypervisor* hv, const char* id);
} mvm_hypervisor_api;

/* ---- negotiation ------------------------------------------------------------------------------------------------ */

/* What the host speaks. */
typedef struct mvm_offer {
  size_t size;
  uint32_t min_major; /* oldest and newest ABI major, both inclusive */
  uint32_t max_major;
  uint32_t max_minor; /* of max_major */
} mvm_offer;

/* What the plugin chose. The caller zeroes it and sets size; the plugin writes within that size. */
typedef struct mvm_answer {
  size_t size;
  uint32_t major; /* within the offer (MVM-P2) */
  uint32_t minor;
  char name[33];    /* [a-z0-9][a-z0-9-]{0,31}, NUL-terminated; the library is libmvm-NAME (MVM-P14) */
  char version[33]; /* the plugin's own version, NUL-terminated */
  char vendor[65];  /* NUL-terminated */

  /* Makes an instance. config: serialised mvm.v1.InstanceConfig. The host table outlives the instance. Cheap: starts
   * no VM. On failure writes a message to error and returns a status; *hv and *api are then not read. */
  mvm_status (*create)(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                       const mvm_sink* error);
} mvm_answer;

/* The entry point. [any] Cheap: no threads, no I/O, no call of the host but error->write; may be called repeatedly.
 * Returns MVM_ERR_ABI, with a message, when no common version exists. */
typedef mvm_status (*mvm_plugin_negotiate_fn)(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error);

MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error);

#ifdef __cplusplus
}
#endif

#endif /* MVM_ABI_H */
