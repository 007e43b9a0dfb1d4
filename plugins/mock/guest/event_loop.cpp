// SPDX-License-Identifier: Apache-2.0
#include "event_loop.hpp"

#include <exception>
#include <string>

#include <pthread.h>
#include <signal.h>

namespace mvm::mock {
namespace {

// Signals sent to the process are the host's: while this lives, new threads start with them blocked. Those that a fault
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

EventLoop::EventLoop(Host host) : host_(host) {
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

EventLoop::~EventLoop() { finish(); }

void EventLoop::finish() noexcept {
  work_.reset();
  if (thread_.joinable()) thread_.join();
}

void EventLoop::run() noexcept {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "mvm-mock");
#endif
  while (true) {
    try {
      context_.run();
      return;
    } catch (const std::exception& e) {
      host_.log(MVM_LOG_ERROR, std::string("event loop: ") + e.what());
    } catch (...) {
      host_.log(MVM_LOG_ERROR, "event loop: something that is not a std::exception was thrown");
    }
  }
}

}  // namespace mvm::mock
