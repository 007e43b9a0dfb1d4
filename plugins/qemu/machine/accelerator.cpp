// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>

namespace mvm::qemu {

std::optional<Error> kvm_refusal(const std::string& device) {
  const UniqueFd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return std::nullopt;
  const int error = errno;
  const std::string subject = "option accel: kvm: " + device + ": ";
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return Error(MVM_ERR_UNSUPPORTED, subject +
                                          "is not there; switch virtualisation on in the firmware and load the "
                                          "module kvm_intel or kvm_amd, or say --option accel=tcg");
  }
  if (error == EACCES || error == EPERM) {
    return Error(MVM_ERR_DENIED, subject +
                                     "this user may not open it; join its group and log in again: "
                                     "sudo usermod -aG kvm $USER, or say --option accel=tcg");
  }
  return Error(MVM_ERR_INTERNAL, subject + std::strerror(error));
}

void AcceleratorChoice::cancel() noexcept {
  if (trial_) trial_->cancel();
}

void AcceleratorChoice::choose(AcceleratorWish wish, const LaunchFacts& facts, const std::string& kernel,
                               std::function<void(Accelerator)> done) {
  if (wish == AcceleratorWish::automatic) return choose_automatically(facts, kernel, std::move(done));
  if (wish == AcceleratorWish::tcg) return done(Accelerator::tcg);
  if (const auto refusal = kvm_refusal(setting_.kvm_device)) throw Error(*refusal);
  done(Accelerator::kvm);
}

void AcceleratorChoice::choose_automatically(const LaunchFacts& facts, const std::string& kernel,
                                             std::function<void(Accelerator)> done) {
  if (const auto refusal = kvm_refusal(setting_.kvm_device)) {
    host_.log(MVM_LOG_INFO, "accelerator: tcg, which is slow: " + std::string(refusal->what()));
    return done(Accelerator::tcg);
  }
  // The kernel is part of the key: where KVM is broken, a small kernel may work and a distribution's hang.
  const std::string key = file_identity(facts.program) + " | " + file_identity(kernel);
  if (const auto known = setting_.memory.recall(key)) return done(*known ? Accelerator::kvm : Accelerator::tcg);
  LaunchFacts with_kvm = facts;
  with_kvm.accelerator = Accelerator::kvm;
  trial_ = AcceleratorTrial::start(
      loop_, with_kvm, kernel, setting_.limit,
      [this, key, done = std::move(done)](const TrialResult& result) { judge(key, result, done); });
}

void AcceleratorChoice::judge(const std::string& key, const TrialResult& result,
                              const std::function<void(Accelerator)>& done) {
  setting_.memory.remember(key, result.works);
  if (!result.works) {
    host_.log(MVM_LOG_WARN, "accelerator: tcg, which is slow: KVM does not work here: " + result.reason);
  }
  done(result.works ? Accelerator::kvm : Accelerator::tcg);
}

}  // namespace mvm::qemu
