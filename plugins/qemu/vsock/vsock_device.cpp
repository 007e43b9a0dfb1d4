// SPDX-License-Identifier: Apache-2.0
#include "vsock/vsock_device.hpp"

#include <exception>
#include <string>
#include <thread>
#include <utility>

#include <pthread.h>
#include <signal.h>

#include "vsock/vsock_engine.hpp"

namespace mvm::qemu {
namespace {

// The process's signals are the host's: while this lives, new threads start with them blocked. Those that a fault
// raises stay open, or a crash would not look like one.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

class VsockDevice::Thread {
 public:
  Thread(UniqueFd front_end, VsockEngine::Config config)
      : log_(config.log), engine_(std::move(front_end), std::move(config)) {
    const SignalsBlocked blocked;
    thread_ = std::thread([this] { run(); });
  }
  ~Thread() {
    engine_.post([this] { stopping_ = true; });
    thread_.join();
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  VsockEngine& engine() noexcept { return engine_; }

 private:
  void run() noexcept {
    pthread_setname_np(pthread_self(), "mvm-vsock");
    while (!stopping_) step();
    engine_.end("the VM has ended");
  }

  // Out of memory, say: the VM goes on without its vsock.
  void step() noexcept {
    try {
      engine_.step(true);
    } catch (const std::exception& e) {
      give_up(e.what());
    } catch (...) {
      give_up("something that is not a std::exception was thrown");
    }
  }

  void give_up(const char* why) noexcept {
    if (log_) log_(MVM_LOG_ERROR, std::string("vsock device: gives up: ") + why);
    engine_.end("the VM's vsock device has failed");
  }

  const std::function<void(int32_t level, std::string_view message)> log_;
  VsockEngine engine_;
  bool stopping_ = false;  // the thread's own
  std::thread thread_;
};

VsockDevice::VsockDevice(std::unique_ptr<Thread> thread) : thread_(std::move(thread)) {}

VsockDevice::~VsockDevice() = default;

std::unique_ptr<VsockDevice> VsockDevice::start(UniqueFd front_end, Config config) {
  VsockEngine::Config engine;
  engine.guest_cid = config.guest_cid;
  engine.limits = config.limits;
  engine.log = std::move(config.log);
  return std::unique_ptr<VsockDevice>(
      new VsockDevice(std::make_unique<Thread>(std::move(front_end), std::move(engine))));
}

void VsockDevice::connect(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done) {
  VsockEngine& engine = thread_->engine();
  engine.post([&engine, port, timeout, done = std::move(done)] { engine.connect(port, timeout, done); });
}

void VsockDevice::set_on_guest_connect(OnGuestConnect fn) { thread_->engine().set_on_guest_connect(std::move(fn)); }

void VsockDevice::drop_connections() {
  VsockEngine& engine = thread_->engine();
  engine.post([&engine] { engine.drop_connections(); });
}

void VsockDevice::set_paused(bool paused) {
  VsockEngine& engine = thread_->engine();
  engine.post([&engine, paused] { engine.set_paused(paused); });
}

}  // namespace mvm::qemu
