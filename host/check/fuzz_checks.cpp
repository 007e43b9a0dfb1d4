// SPDX-License-Identifier: Apache-2.0
// Specs and requests that nobody would write, from a seed: the same seed, the same bytes.
#include <random>

#include "check/check.hpp"
#include "check/machine.hpp"

namespace mvm::host::check {
namespace {

using Engine = std::mt19937_64;

size_t below(Engine& engine, size_t limit) { return limit == 0 ? 0 : static_cast<size_t>(engine() % limit); }

std::string some_text(Engine& engine) {
  std::string text(below(engine, 80), ' ');
  for (char& c : text) c = static_cast<char>(0x20 + below(engine, 0x5f));
  return text;
}

// One field of a good spec, changed to something odd that is still a message.
void change_a_field(Engine& engine, v1::VmSpec& spec) {
  switch (below(engine, 9)) {
    case 0:
      return spec.set_name(some_text(engine));
    case 1:
      return spec.set_kernel("/nonexistent/" + some_text(engine));
    case 2:
      return spec.set_initrd("/nonexistent/" + some_text(engine));
    case 3:
      return spec.set_cpus(static_cast<uint32_t>(engine()));
    case 4:
      return spec.set_memory_bytes(engine());
    case 5:
      return spec.add_disks()->set_path("/nonexistent/" + some_text(engine));
    case 6:
      return spec.add_shares()->set_tag(some_text(engine));
    case 7:
      return spec.add_required_features(some_text(engine));
    default:
      (*spec.mutable_options())[some_text(engine)] = some_text(engine);
  }
}

// Bytes of a message, cut, overwritten or lengthened: mostly none any more.
std::string damaged(Engine& engine, std::string bytes) {
  for (size_t n = 1 + below(engine, 4); n > 0; --n) {
    switch (below(engine, 3)) {
      case 0:
        bytes.resize(below(engine, bytes.size() + 1));
        break;
      case 1:
        if (!bytes.empty()) bytes[below(engine, bytes.size())] = static_cast<char>(engine());
        break;
      default:
        bytes.insert(below(engine, bytes.size() + 1), 1 + below(engine, 8), static_cast<char>(engine()));
    }
  }
  return bytes;
}

// A boot is answered, a failure has words, and a VM that came up can be ended again.
void boots_or_says_why(Machine& m, const std::string& bytes, size_t round) {
  const Call call;
  m.hv().boot(bytes, call.completion());
  const Outcome outcome = call.wait();
  const std::string which = "round " + std::to_string(round) + " of seed " + std::to_string(subject().seed);
  if (outcome.status != MVM_OK) {
    if (outcome.error.empty() || outcome.error.find("(MVM-P8)") != std::string::npos) {
      note(Verdict::failed, which + ": a failure without a reason (MVM-P8)");
    }
    return;
  }
  const v1::VmList list = m.list();
  for (const auto& vm : list.vms()) {
    v1::StopRequest request;
    request.set_name(vm.name());
    request.set_force(true);
    const Call stop;
    m.hv().stop(request.SerializeAsString(), stop.completion());
    if (const Outcome stopped = stop.wait(); stopped.status != MVM_OK) {
      throw std::runtime_error(which + ": a VM that cannot be stopped: " + stopped.error);
    }
  }
}

MVM_PLUGIN_CHECK("odd specs boot or are refused with a reason, from a seed", "fuzz", "MVM-P4 MVM-P8", own_vm) {
  Machine m;
  Engine engine(subject().seed);
  const auto end = std::chrono::steady_clock::now() + subject().deadline / 4;
  for (size_t round = 0; round < 300 && std::chrono::steady_clock::now() < end; ++round) {
    v1::VmSpec spec = m.spec();
    for (size_t n = 1 + below(engine, 3); n > 0; --n) change_a_field(engine, spec);
    boots_or_says_why(m, spec.SerializeAsString(), round);
  }
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("damaged specs boot or are refused with a reason, from a seed", "fuzz", "MVM-P4 MVM-P8", own_vm) {
  Machine m;
  Engine engine(subject().seed + 1);
  const auto end = std::chrono::steady_clock::now() + subject().deadline / 4;
  for (size_t round = 0; round < 1000 && std::chrono::steady_clock::now() < end; ++round) {
    boots_or_says_why(m, damaged(engine, m.spec().SerializeAsString()), round);
  }
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("damaged requests to a VM that runs leave it running, from a seed", "fuzz", "MVM-P4 MVM-P8", own_vm) {
  Machine m;
  m.start();
  Engine engine(subject().seed + 2);
  v1::ShareDirRequest share;
  share.set_name("nobody");
  share.mutable_share()->set_tag("tag");
  share.mutable_share()->set_path("/nonexistent");
  v1::VsockConnectRequest connect;
  connect.set_name("nobody");
  for (int round = 0; round < 100; ++round) {
    if (m.info().share_dir_while_running()) {
      const Call call;
      m.hv().share_dir(damaged(engine, share.SerializeAsString()), call.completion());
      MVM_EXPECT(call.wait().status < 0);
    }
    if (m.info().vsock()) {
      const Call call;
      m.hv().vsock_connect(damaged(engine, connect.SerializeAsString()), call.fd_completion());
      call.wait();
    }
  }
  MVM_REQUIRE(m.list().vms_size() == 1);
  MVM_EXPECT(m.stop(true).status == MVM_OK);
}

}  // namespace

void link_fuzz_checks() {}

}  // namespace mvm::host::check
