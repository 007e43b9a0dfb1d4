// SPDX-License-Identifier: Apache-2.0
// For authors who would rather block: mvm::Blocking<T> runs each slow verb of T on a thread of its own and answers with
// what T returns or throws. T may block in boot, stop, vsock_connect and share_dir; the host is never held up.
//
//   struct MyHypervisor {
//     MyHypervisor(mvm::Host host, mvm::Bytes config);
//     std::string info();                                // mvm.v1.HypervisorInfo
//     std::string boot(mvm::Bytes spec);                 // mvm.v1.VmInfo, or throws mvm::Error
//     void stop(mvm::Bytes request);
//     std::string list();
//     mvm::UniqueFd vsock_connect(mvm::Bytes request);   // may be left out: unsupported
//     void share_dir(mvm::Bytes request);                // may be left out: unsupported
//   };
//   MVM_PLUGIN(mvm::Blocking<MyHypervisor>, "my-hypervisor", "1.0.0", "My Company")
//
// stop may be called while boot still blocks, and vsock_connect from several threads at once. When the instance ends, a
// blocked call is waited for: give each its own end, or have a `void shutdown()`, which is called first and ends them.
#ifndef MVM_BLOCKING_HPP
#define MVM_BLOCKING_HPP

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "hypervisor.hpp"
#include "plugin.hpp"

namespace mvm {

template <class T>
class Blocking final : public Hypervisor {
 public:
  Blocking(Host host, Bytes config) : inner_(host, config) {}
  ~Blocking() override {
    if constexpr (requires(T & t) { t.shutdown(); }) inner_.shutdown();
    std::unique_lock lock(mutex_);
    none_running_.wait(lock, [this] { return running_ == 0; });
  }

  std::string info() override { return inner_.info(); }
  std::string list() override { return inner_.list(); }

  void boot(Bytes spec, Completion done) override {
    count_boots(1);
    try {
      start(std::string(spec), std::move(done), [this](Bytes b, const Completion& c) {
        const BootEnd end{*this};  // also where it throws
        c.succeed(inner_.boot(b));
      });
    } catch (...) {
      count_boots(-1);
      throw;
    }
  }
  void stop(Bytes request, Completion done) override {
    start(std::string(request), std::move(done), [this](Bytes b, const Completion& c) {
      stop_what_boots(b);
      c.succeed();
    });
  }
  void vsock_connect(Bytes request, FdCompletion done) override {
    if constexpr (requires(T & t) { t.vsock_connect(Bytes{}); }) {
      start(std::string(request), std::move(done),
            [this](Bytes b, const FdCompletion& c) { c.succeed(inner_.vsock_connect(b)); });
    } else {
      throw Error(MVM_ERR_UNSUPPORTED, "vsock_connect: this hypervisor has no vsock");
    }
  }
  void share_dir(Bytes request, Completion done) override {
    if constexpr (requires(T & t) { t.share_dir(Bytes{}); }) {
      start(std::string(request), std::move(done), [this](Bytes b, const Completion& c) {
        inner_.share_dir(b);
        c.succeed();
      });
    } else {
      throw Error(MVM_ERR_UNSUPPORTED, "share_dir: this hypervisor cannot share directories");
    }
  }

 private:
  void count_boots(int by) {
    const std::lock_guard lock(mutex_);
    booting_ += by;
    boot_ended_.notify_all();
  }
  struct BootEnd {
    Blocking& owner;
    ~BootEnd() { owner.count_boots(-1); }
  };

  // A stop's thread may be faster than that of the boot it overtakes: what T does not find is asked for again for as
  // long as a boot was under way.
  void stop_what_boots(Bytes request) {
    for (;;) {
      const bool boots = is_booting(std::chrono::milliseconds(0));
      try {
        return inner_.stop(request);
      } catch (const Error& e) {
        if (e.status() != MVM_ERR_NOT_FOUND || !boots) throw;
      }
      is_booting(std::chrono::milliseconds(10));
    }
  }
  // After waiting that long for it to end.
  bool is_booting(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return !boot_ended_.wait_for(lock, limit, [this] { return booting_ == 0; });
  }

  template <class Done, class Fn>
  void start(std::string request, Done done, Fn fn) {
    {
      const std::lock_guard lock(mutex_);
      ++running_;
    }
    try {
      std::thread([this, request = std::move(request), done = std::move(done), fn = std::move(fn)]() mutable {
        try {
          fn(request, done);
        } catch (...) {
          done.fail_with_current_exception();
        }
        { const Done answered = std::move(done); }  // before the instance may go (MVM-P10)
        finished();
      }).detach();
    } catch (...) {
      finished();
      throw;
    }
  }
  // Notifies under the lock: the destructor may free both as soon as it is released.
  void finished() {
    const std::lock_guard lock(mutex_);
    --running_;
    none_running_.notify_all();
  }

  T inner_;
  std::mutex mutex_;
  std::condition_variable none_running_;
  std::condition_variable boot_ended_;
  int running_ = 0;
  int booting_ = 0;
};

}  // namespace mvm

#endif  // MVM_BLOCKING_HPP
