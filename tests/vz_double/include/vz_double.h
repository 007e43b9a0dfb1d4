// SPDX-License-Identifier: Apache-2.0
// What a test asks of the double, and tells it. C, for any thread. Nothing of it is Apple's.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VZ_DOUBLE_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

// Faults, for every VM that is made after this call: "key=value key=value …", times in ms; "" for none. At the start of
// the process the environment's MVM_VZ_DOUBLE is taken. README.md lists the keys. Aborts on a key that is none.
VZ_DOUBLE_API void vz_double_set_faults(const char* script);

// The macOS that is pretended: "12.0" by MVM_VZ_DOUBLE_MACOS or this, else 15.0. Classes that a later one introduced
// abort when they are used.
VZ_DOUBLE_API void vz_double_set_system(const char* version);
// "macOS 13.0" or "13.0": 1 when the pretended system has it, else 0. What __builtin_available asks.
VZ_DOUBLE_API int vz_double_system_is_at_least(const char* platform_and_version);

// What is alive: of one class by its name, or of all of Apple's classes when it is null.
VZ_DOUBLE_API size_t vz_double_live_objects(const char* class_name);
// "VZVirtualMachine 1\n…": what is alive by class, into a buffer of `size` bytes, cut off there; returns its length.
VZ_DOUBLE_API size_t vz_double_describe_live_objects(char* buffer, size_t size);
// Dispatch queues whose thread has not ended.
VZ_DOUBLE_API size_t vz_double_live_queues(void);
// Waits until neither a queue nor an object is alive: 1, or 0 when the time came first.
VZ_DOUBLE_API int vz_double_wait_until_quiet(uint32_t timeout_ms);

#ifdef __cplusplus
}
#endif
