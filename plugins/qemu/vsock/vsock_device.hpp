// SPDX-License-Identifier: Apache-2.0
// The vsock device of one VM, without /dev/vhost-vsock: a vhost-user back end in this process, with a thread of its
// own. QEMU is the front end (-chardev socket,id=vs,fd=N -device vhost-user-vsock-pci,chardev=vs; memory shared), at
// the other half of a socketpair. Any port of the guest can be connected to, and the guest can connect to the host.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "mvm/hypervisor.hpp"
#include "vsock/vsock_limits.hpp"

namespace mvm::qemu {

class VsockDevice {
 public:
  // On the device's thread, and prompt: takes the fd, a stream socket, and returns true; or refuses. The bytes that the
  // guest sends begin to come once it has returned. It must not call set_on_guest_connect.
  using OnGuestConnect = std::function<bool(uint32_t port, UniqueFd& fd)>;

  struct Config {
    uint64_t guest_cid = 3;
    VsockLimits limits = {};
    std::function<void(int32_t level, std::string_view message)> log;  // on the device's thread; may be empty
  };

  // front_end: this process's end of the socketpair. Starts the device's one thread. Throws mvm::Error.
  static std::unique_ptr<VsockDevice> start(UniqueFd front_end, Config config);

  // [any thread] Connects to a port of the guest. Keeps trying one that nobody listens on yet, and a guest whose driver
  // is not up yet, until `timeout` is over: MVM_ERR_DEADLINE. With 0 it tries once: MVM_ERR_REFUSED, or
  // MVM_ERR_DEADLINE if the guest does not answer at all (limits.answer_timeout). MVM_ERR_CANCELLED when the VM goes,
  // or this object. `done` runs on the device's thread, with a stream socket that is close-on-exec, and blocking.
  // Messages begin with "vsock port N: ".
  void connect(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done);

  // [any thread] Who takes the guest's connections; empty: they are refused. When it returns, no earlier fn runs any
  // more.
  void set_on_guest_connect(OnGuestConnect fn);

  // [any thread] The machine was reset (QMP RESET): every stream ends.
  void drop_connections();

  // [any thread] The machine was paused, or goes on (QMP STOP, RESUME): what is connected to meanwhile waits for its
  // time, as if the guest were slow.
  void set_paused(bool paused);

  // Not on the device's thread. Streams end, open connects are cancelled, the thread has ended.
  ~VsockDevice();
  VsockDevice(const VsockDevice&) = delete;
  VsockDevice& operator=(const VsockDevice&) = delete;

 private:
  class Thread;
  explicit VsockDevice(std::unique_ptr<Thread> thread);

  std::unique_ptr<Thread> thread_;
};

}  // namespace mvm::qemu
