// SPDX-License-Identifier: Apache-2.0
// A plugin whose author blocks: boot waits until a stop or a while passes, as a driver of a child process would.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mvm/blocking.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace {

class BlockingHypervisor {
 public:
  BlockingHypervisor(mvm::Host, mvm::Bytes) {}

  std::string info() { return mvm::v1::HypervisorInfo().SerializeAsString(); }

  std::string boot(mvm::Bytes bytes) {
    const auto spec = mvm::parse<mvm::v1::VmSpec>(bytes);
    std::unique_lock lock(mutex_);
    stopped_ = false;
    const auto delay = std::chrono::milliseconds(spec.cmdline() == "slow" ? 600'000 : 1);
    if (changed_.wait_for(lock, delay, [this] { return stopped_; })) {
      throw mvm::Error(MVM_ERR_CANCELLED, "vm " + spec.name() + ": was stopped while it booted");
    }
    vm_.set_name(spec.name());
    vm_.set_state(mvm::v1::VM_STATE_RUNNING);
    return vm_.SerializeAsString();
  }

  void stop(mvm::Bytes) {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    vm_.Clear();
    changed_.notify_all();
  }

  std::string list() {
    const std::lock_guard lock(mutex_);
    mvm::v1::VmList all;
    if (!vm_.name().empty()) *all.add_vms() = vm_;
    return all.SerializeAsString();
  }

  mvm::UniqueFd vsock_connect(mvm::Bytes) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) throw std::runtime_error("socketpair: failed");
    const mvm::UniqueFd guest(fds[0]);
    for (const int fd : fds) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (::write(guest.get(), "hello", 5) != 5) throw std::runtime_error("guest: does not say hello");
    return mvm::UniqueFd(fds[1]);
  }

  // Left out: share_dir.

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  mvm::v1::VmInfo vm_;
  bool stopped_ = false;
};

}  // namespace

MVM_PLUGIN(mvm::Blocking<BlockingHypervisor>, "blocking", "1.0", "the tests")
