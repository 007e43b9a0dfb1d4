// SPDX-License-Identifier: Apache-2.0
// What runs the guest's code: what was asked for, or KVM where it is known or found to work, else TCG.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "accelerator_memory.hpp"
#include "accelerator_trial.hpp"
#include "command_line.hpp"
#include "mvm/plugin.hpp"
#include "options.hpp"

namespace mvm::qemu {

inline constexpr const char* kvm_device = "/dev/kvm";

// Why this user cannot use KVM through that device; nothing when it opens.
std::optional<Error> kvm_refusal(const std::string& device);

class AcceleratorChoice {
 public:
  struct Setting {
    std::string kvm_device = qemu::kvm_device;
    AcceleratorMemory memory = AcceleratorMemory::of_this_user();
    std::chrono::milliseconds limit = AcceleratorTrial::usual_limit;
  };

  AcceleratorChoice(boost::asio::io_context& loop, Host host, Setting setting)
      : loop_(loop), host_(host), setting_(std::move(setting)) {}
  ~AcceleratorChoice() { cancel(); }
  AcceleratorChoice(const AcceleratorChoice&) = delete;
  AcceleratorChoice& operator=(const AcceleratorChoice&) = delete;

  // done is called once, maybe before this returns; not after cancel() or when this object is gone. Throws mvm::Error:
  // what was asked for is not to be had.
  void choose(AcceleratorWish wish, const LaunchFacts& facts, const std::string& kernel,
              std::function<void(Accelerator)> done);
  void cancel() noexcept;

 private:
  void choose_automatically(const LaunchFacts& facts, const std::string& kernel, std::function<void(Accelerator)> done);
  void judge(const std::string& key, const TrialResult& result, const std::function<void(Accelerator)>& done);

  boost::asio::io_context& loop_;
  Host host_;
  Setting setting_;
  std::shared_ptr<AcceleratorTrial> trial_;
};

}  // namespace mvm::qemu
