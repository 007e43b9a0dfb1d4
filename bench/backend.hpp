// SPDX-License-Identifier: Apache-2.0
// What stands behind every forwarder that is measured: a process of its own that serves a Unix socket. The first byte a
// client sends chooses: 'g' sends without end, 'd' swallows, 'e' echoes all that follows, 'G' answers as HTTP/1.0 with
// 1 KiB and closes.
#pragma once

#include <string>

#include <sys/types.h>

namespace mvm::bench {

// Forks; the child dies with the benchmark. Listens when this returns. Call it before there are threads.
pid_t start_backend(const std::string& path);

}  // namespace mvm::bench
