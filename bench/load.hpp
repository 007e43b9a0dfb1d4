// SPDX-License-Identifier: Apache-2.0
// Clients of a forwarder, on one thread; each load lasts for a given time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "mvm/hypervisor.hpp"

namespace mvm::bench {

// A connected, blocking socket to what is measured; the benchmark ends with a message when there is none.
using Connect = std::function<UniqueFd()>;
Connect to_tcp(uint16_t port);
Connect to_unix(const std::string& path);

// Bytes that `connections` clients of the 'g' service got, or sent to the 'd' service, and the seconds it took.
struct Bulk {
  uint64_t bytes = 0;
  double seconds = 0;
};
enum class Way { from_guest, to_guest };
Bulk bulk(const Connect& connect, Way way, int connections, std::chrono::milliseconds time);

// HTTP/1.0 answers of 1 KiB a second, 32 at a time, a connection each.
double new_connections(uint16_t port, std::chrono::milliseconds time);

// Microseconds of round trips of 64 bytes, one after another on one connection.
std::vector<double> round_trips_us(const Connect& connect, int count);

// That many connections that have echoed one byte each, and are left alone.
std::vector<UniqueFd> idle_connections(const Connect& connect, int count);

}  // namespace mvm::bench
