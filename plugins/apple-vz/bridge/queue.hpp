// SPDX-License-Identifier: Apache-2.0
// A serial dispatch queue: one for each VM. Virtualization.framework wants all of a VM's calls on it, and calls back on
// it; nothing that waits may run there.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace mvm::apple_vz {

// Copies are the same queue; it lives until what was posted has run.
class Queue {
 public:
  using Fn = std::function<void()>;
  // Told of what work threw, which is then over. [any]
  using OnProblem = std::function<void(const std::string& what)>;

  Queue(const std::string& label, OnProblem on_problem);

  // [any] Runs fn on the queue, in a pool of its own; what fn holds dies there.
  void post(Fn fn) const;

  // Goes with its object: then fn does not run any more. To be dropped on the queue.
  class Timer {
   public:
    Timer() = default;
    void cancel() noexcept;

   private:
    friend class Queue;
    struct Impl;
    struct Cancel {
      void operator()(Impl* impl) const noexcept;
    };
    std::unique_ptr<Impl, Cancel> impl_;
  };

  // [queue] Runs fn there after the delay, once.
  [[nodiscard]] Timer after(std::chrono::milliseconds delay, Fn fn) const;

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }  // for the .mm files of this room

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mvm::apple_vz
