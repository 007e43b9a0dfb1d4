// SPDX-License-Identifier: Apache-2.0
// A hypervisor that does nothing at all: what is left is the call.
#pragma once

#include <string>

#include "mvm/plugin.hpp"

namespace mvm::bench {

class NullHypervisor final : public Hypervisor {
 public:
  NullHypervisor() = default;
  NullHypervisor(Host, Bytes) {}

  std::string info() override { return {}; }
  void boot(Bytes, Completion done) override { done.succeed(); }
  void stop(Bytes, Completion done) override { done.succeed(); }
  std::string list() override { return {}; }
  void vsock_connect(Bytes, FdCompletion done) override { done.fail(MVM_ERR_UNSUPPORTED, "null: has no guest"); }
  void share_dir(Bytes, Completion done) override { done.succeed(); }
};

}  // namespace mvm::bench
