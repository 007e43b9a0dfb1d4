// SPDX-License-Identifier: Apache-2.0
// What forwards a TCP port to a Unix socket: ours, programs of the distribution, and the reference's algorithm.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace mvm::bench {

struct Forwarder {
  std::string name;
  std::string version;
  int most_idle;  // connections that it can be asked to hold: some take a process each
  // Becomes the forwarder, in a process of its own: 127.0.0.1:port to the Unix socket. Does not return.
  std::function<void(uint16_t port, const std::string& socket, const std::string& directory)> become;
  bool cpu_is_whole = true;  // false: a connection's process takes the time it used with it
};

// Those that are here; the first is ours.
std::vector<Forwarder> forwarders();

// One that runs; killed with all that it started.
class Running {
 public:
  // Waits until it takes connections.
  Running(const Forwarder& forwarder, uint16_t port, const std::string& socket, const std::string& directory);
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running();

  bool alive() const;
  double cpu_seconds() const;       // of all its processes, those that ended too
  uint64_t resident_bytes() const;  // private and shared, of all its processes

 private:
  std::vector<pid_t> processes() const;
  pid_t pid_ = -1;
};

}  // namespace mvm::bench
