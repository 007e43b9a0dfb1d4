// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <string_view>

#include "mvm/options.hpp"

namespace mvm::qemu {
namespace {

AcceleratorWish accelerator(const OptionValue& value) {
  return value.one_of<AcceleratorWish>(
      {{"kvm", AcceleratorWish::kvm}, {"tcg", AcceleratorWish::tcg}, {"auto", AcceleratorWish::automatic}});
}

std::string program(const OptionValue& value) {
  const bool ok = value.text.starts_with('/') && value.text.find('\0') == std::string_view::npos;
  if (!ok) value.refuse("a program's absolute path");
  return std::string(value.text);
}

bool allowed(const OptionValue& value) { return value.one_of<bool>({{"allow", true}, {"refuse", false}}); }

constexpr Option<Options> keys[] = {
    {"accel", "auto|kvm|tcg: what runs the guest's code (auto: KVM where a short boot proves it, else TCG)",
     [](auto& o, auto& v) { o.accelerator = accelerator(v); }},
    {"backing-files", "allow|refuse: whether a qcow2 image may name further files of the host (refuse)",
     [](auto& o, auto& v) { o.backing_files = allowed(v); }},
    {"qemu", "PATH: another QEMU than the one in PATH", [](auto& o, auto& v) { o.qemu = program(v); }},
    {"virtiofsd", "PATH: another virtiofsd than the distribution's",
     [](auto& o, auto& v) { o.virtiofsd = program(v); }},
};

}  // namespace

Options parse_options(const google::protobuf::Map<std::string, std::string>& options) {
  Options parsed;
  for (const auto& [name, text] : options) {
    if (!set_option(parsed, keys, name, text)) throw unknown_option("qemu", name, keys);
  }
  return parsed;
}

std::vector<v1::OptionInfo> describe_options() { return mvm::describe_options<v1::OptionInfo>(keys); }

}  // namespace mvm::qemu
