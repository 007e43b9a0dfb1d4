/* SPDX-License-Identifier: Apache-2.0 */
/* libmvmclient: mvmhost for programs: boot, stop, list, connect to a guest, share directories. docs/client.md has an
 * example. It drives the executable mvmhost, and reaches guests over the VM's vsock.sock (docs/state.md).
 *
 * Threads: every function may be called from any thread, also on one client at once; but mvmc_close only when no other
 * call on that client is under way. A call blocks the calling thread alone.
 *
 * Processes: a call that runs mvmhost starts one child, in a process group of its own, and waits for that child only:
 * other children, SIGCHLD's disposition and signal masks stay the program's. SIGCHLD may be ignored, and others may
 * wait for any child. A handler of SIGCHLD sees one more child come and go. No function raises SIGPIPE.
 *
 * Time: where mvmhost does not end within the limits named below, it is sent SIGTERM, 5 s later SIGKILL, and the call
 * fails with MVMC_DEADLINE, 10 s after the limit at the latest.
 *
 * Strings: UTF-8, zero-terminated, the caller's; read during the call only. Relative paths begin at the current
 * directory.
 *
 * Errors: what fails returns a code (or NULL, or -1) and fills the mvmc_error that it was given; that may be NULL.
 *
 * Growing: structs begin with their size and grow at their end; use the initialisers, then set what you mean. */
#ifndef MVM_CLIENT_H
#define MVM_CLIENT_H

#include <stdint.h>

#if defined(__GNUC__)
#define MVMC_API __attribute__((visibility("default")))
#else
#define MVMC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are mvmhost's exit codes. */
enum mvmc_status {
  MVMC_OK = 0,
  MVMC_FAILED = 1,      /* tried, and failed; also: mvmhost was not found, could not be run, or was killed */
  MVMC_INVALID = 2,     /* bad input */
  MVMC_NOT_FOUND = 3,   /* no such VM or hypervisor */
  MVMC_DEADLINE = 4,    /* a deadline passed */
  MVMC_UNSUPPORTED = 5, /* by this hypervisor, or this system */
};

/* The caller's. Left as it was by what succeeds. The message says its subject, what was found and what to do; it is cut
 * to the room there is. */
typedef struct mvmc_error {
  uint32_t size;
  int32_t code; /* enum mvmc_status */
  char message[512];
} mvmc_error;
#define MVMC_ERROR_INIT \
  { sizeof(mvmc_error), MVMC_OK, "" }

typedef struct mvmc_options {
  uint32_t size;
  uint32_t command_timeout_ms; /* how long list, inspect, share, unshare and rm may take; 0: 30,000 */
  const char*
      program;      /* the mvmhost to run; NULL: $MVMHOST, else in PATH, else ../bin beside this library's directory */
  const char* home; /* the state directory; NULL: as mvmhost finds it */
} mvmc_options;
#define MVMC_OPTIONS_INIT \
  { sizeof(mvmc_options), 0, 0, 0 }

typedef struct mvmc_client mvmc_client; /* opaque */

/* This library's version: "0.1.0". Static. */
MVMC_API const char* mvmc_version(void);

/* A client. options may be NULL. The environment is copied here: later changes to it are not seen. Runs nothing and
 * does not block. NULL on failure (MVMC_FAILED: no mvmhost to run). To be closed with mvmc_close. A privileged (setuid)
 * process has to say program. */
MVMC_API mvmc_client* mvmc_open(const mvmc_options* options, mvmc_error* error);

/* Frees the client. VMs and connections go on. NULL is allowed. */
MVMC_API void mvmc_close(mvmc_client* client);

/* What to boot. A string that is NULL, a list that is NULL and a number that is 0 are left out: a VM that was booted
 * before keeps what it had, a new one takes mvmhost's default. An empty string and an empty list empty.
 * Lists end with NULL; their elements are written as after mvmhost's options (docs/mvmhost.1). */
typedef struct mvmc_boot_options {
  uint32_t size;
  uint32_t timeout_ms;    /* 0: 30,000; see mvmc_boot */
  const char* name;       /* needed */
  const char* kernel;     /* file; needed at the first boot */
  const char* initrd;     /* file */
  const char* cmdline;    /* kernel command line */
  const char* rootfs;     /* image */
  const char* hypervisor; /* plugin, by name */
  const char* plugin;     /* plugin, by file; not together with hypervisor */
  uint64_t memory_bytes;  /* whole MiB */
  uint32_t cpus;
  uint32_t fresh;                /* not 0: discard the VM's own disk */
  const char* const* shares;     /* "DIR[:TAG][:rw]" */
  const char* const* publish;    /* "[ADDR:]HOST:GUEST" */
  const char* const* extra_args; /* further arguments of `mvmhost boot`, as they are: "--disk", "data.img:ro" */
} mvmc_boot_options;
#define MVMC_BOOT_OPTIONS_INIT \
  { sizeof(mvmc_boot_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Boots a VM, which outlives client and program. Blocks until it runs or has failed. The hypervisor has timeout_ms, and
 * the whole call, the copy of a disk included, 5 s more; then the boot is given up
 * (MVMC_DEADLINE). After a failure that mvmhost reports, no VM runs. */
MVMC_API int mvmc_boot(mvmc_client* client, const mvmc_boot_options* options, mvmc_error* error);

/* Stops a VM: asks the guest, waits timeout_ms (0: 30,000), then forces; with force not 0 at once. Blocks until the VM
 * is gone, for timeout_ms and 60 s at most. A VM that does not run is no error. */
MVMC_API int mvmc_stop(mvmc_client* client, const char* name, int force, uint32_t timeout_ms, mvmc_error* error);

/* Removes a VM that does not run, with its disk and logs. Blocks for command_timeout_ms at most. */
MVMC_API int mvmc_rm(mvmc_client* client, const char* name, mvmc_error* error);

/* All VMs, as the text of a JSON array; docs/state.md lists the members. The caller's, for mvmc_free. NULL on failure.
 * Blocks for command_timeout_ms at most. */
MVMC_API char* mvmc_list_json(mvmc_client* client, mvmc_error* error);

/* One VM, as the text of a JSON object; otherwise as mvmc_list_json. */
MVMC_API char* mvmc_inspect_json(mvmc_client* client, const char* name, mvmc_error* error);

/* A member of an object that mvmc_inspect_json returned: a string's value, or another value's JSON text. The caller's,
 * for mvmc_free. NULL: there is none of that name, or the text is no JSON object. Does not block. */
MVMC_API char* mvmc_json_member(const char* object, const char* key);

/* Frees what this library returned as char*. NULL is allowed. */
MVMC_API void mvmc_free(char* text);

/* Connects to a vsock port of the guest. Returns the descriptor of a connected stream socket, blocking, close-on-exec,
 * the caller's to close; shutdown(fd, SHUT_WR) ends one direction. -1 on failure. Waits for a port that nobody listens
 * on yet, for timeout_ms at most (0: 10,000), then MVMC_DEADLINE. The first call for a VM runs `mvmhost inspect`; later
 * ones run nothing as long as the VM's socket is there. */
MVMC_API int mvmc_connect(mvmc_client* client, const char* name, uint32_t port, uint32_t timeout_ms, mvmc_error* error);

/* Shares a directory with a running VM, until that stops. tag: what the guest mounts it by; NULL: the directory's name.
 * The guest may write to it where writable is not 0. Blocks for command_timeout_ms at most. */
MVMC_API int mvmc_share_dir(mvmc_client* client, const char* name, const char* directory, const char* tag, int writable,
                            mvmc_error* error);

/* Takes a shared directory away. Blocks for command_timeout_ms at most. */
MVMC_API int mvmc_unshare_dir(mvmc_client* client, const char* name, const char* tag, mvmc_error* error);

#ifdef __cplusplus
}
#endif

#endif
