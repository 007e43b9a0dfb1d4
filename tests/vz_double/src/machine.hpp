// SPDX-License-Identifier: Apache-2.0
// What runs under a VZVirtualMachine: plugin mock's simulated guest, in standard types.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mvm::vz_double {

struct MachineDisk {
  std::string path;
  bool read_only = false;
};

struct MachineShare {
  std::string tag;
  std::string path;
  bool read_only = false;
};

struct MachineSpec {
  std::string kernel;
  std::string initrd;
  std::string cmdline;  // simulated.KEY="VALUE" in it are the guest's script: plugins/mock/README.md
  uint32_t cpus = 0;
  uint64_t memory_bytes = 0;
  std::vector<MachineDisk> disks;
  std::vector<MachineShare> shares;
  std::string mac;            // empty: no network
  int console_read_fd = -1;   // what is typed; borrowed until boot returns; -1: nothing
  int console_write_fd = -1;  // what the guest prints; the same
};

// How a guest that ran came to its end by itself, or because it was asked to.
struct MachineExit {
  bool failed = false;  // panic, and what else is no clean end
  std::string detail;
};

// Any thread may call; its callbacks come on the machine's own thread, none after the destructor.
class Machine {
 public:
  // An empty text: it went well.
  using Done = std::function<void(const std::string& error)>;
  enum class Connect { connected, refused, not_running, failed };
  using Connected =
      std::function<void(Connect outcome, int fd, const std::string& error)>;  // the fd becomes the taker's
  using OnExit = std::function<void(const MachineExit& exit)>;
  // The guest connects to a port of the host. Whoever takes the fd returns true and owns it.
  using OnGuestConnect = std::function<bool(uint32_t port, int fd)>;

  Machine(OnExit on_exit, OnGuestConnect on_guest_connect);
  ~Machine();  // ends the guest at once
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // At most one at a time; again after it ended.
  void boot(const MachineSpec& spec, Done done);
  void press_power_button();
  // done: when it is really gone. OnExit is not called.
  void kill(Done done);
  void pause(Done done);
  void resume(Done done);
  void connect(uint32_t port, Connected done);
  // Whatever was shared under these tags before is no longer.
  void replace_shares(std::vector<std::string> old_tags, std::vector<MachineShare> shares);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mvm::vz_double
