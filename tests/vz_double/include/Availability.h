// SPDX-License-Identifier: Apache-2.0
// As on macOS, so that one source compiles on both. The system that is pretended: vz_double.h.
#pragma once

#define MVM_INTRODUCED_macos(version) availability(macos, introduced = version)
#define API_AVAILABLE(platform) __attribute__((MVM_INTRODUCED_##platform))
#define API_UNAVAILABLE(...)
#define API_DEPRECATED(...)

#ifdef __cplusplus
extern "C" {
#endif
int vz_double_system_is_at_least(const char* platform_and_version);
#ifdef __cplusplus
}
#endif

// Apple's compiler asks the running system; here the system is what the test says: "macOS 13.0". @available cannot be
// caught by a macro: on Linux it is always true, so it would hide what an older system does.
#define __builtin_available(platform, any) (vz_double_system_is_at_least(#platform) != 0)
