// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {
namespace {

// One key's value, with what an error has to name.
struct Value {
  std::string_view key;
  std::string_view text;

  [[noreturn]] void refuse(std::string_view wanted) const {
    throw Error(MVM_ERR_INVALID,
                "option " + std::string(key) + ": \"" + std::string(text) + "\" is not " + std::string(wanted));
  }
};

AcceleratorWish accelerator(const Value& value) {
  if (value.text == "auto") return AcceleratorWish::automatic;
  if (value.text == "kvm") return AcceleratorWish::kvm;
  if (value.text == "tcg") return AcceleratorWish::tcg;
  value.refuse("kvm, tcg or auto");
}

std::string program(const Value& value) {
  const bool ok = value.text.starts_with('/') && value.text.find('\0') == std::string_view::npos;
  if (!ok) value.refuse("a program's absolute path");
  return std::string(value.text);
}

bool allowed(const Value& value) {
  if (value.text != "allow" && value.text != "refuse") value.refuse("allow or refuse");
  return value.text == "allow";
}

struct Key {
  const char* name;
  const char* help;
  void (*set)(Options& o, const Value& v);
};

constexpr Key keys[] = {
    {"accel", "auto|kvm|tcg: what runs the guest's code (auto: KVM where a short boot proves it, else TCG)",
     [](auto& o, auto& v) { o.accelerator = accelerator(v); }},
    {"backing-files", "allow|refuse: whether a qcow2 image may name further files of the host (refuse)",
     [](auto& o, auto& v) { o.backing_files = allowed(v); }},
    {"qemu", "PATH: another QEMU than the one in PATH", [](auto& o, auto& v) { o.qemu = program(v); }},
    {"virtiofsd", "PATH: another virtiofsd than the distribution's",
     [](auto& o, auto& v) { o.virtiofsd = program(v); }},
};

[[noreturn]] void refuse_key(const std::string& name) {
  std::string text = "option " + name + ": unknown; qemu knows";
  const char* separator = " ";
  for (const Key& key : keys) text += std::exchange(separator, ", ") + std::string(key.name);
  throw Error(MVM_ERR_INVALID, text);
}

}  // namespace

Options parse_options(const google::protobuf::Map<std::string, std::string>& options) {
  Options parsed;
  for (const auto& [name, text] : options) {
    const auto* const key =
        std::find_if(std::begin(keys), std::end(keys), [&name = name](const Key& k) { return name == k.name; });
    if (key == std::end(keys)) refuse_key(name);
    key->set(parsed, Value{key->name, text});
  }
  return parsed;
}

std::vector<v1::OptionInfo> describe_options() {
  std::vector<v1::OptionInfo> infos;
  for (const Key& key : keys) {
    v1::OptionInfo& info = infos.emplace_back();
    info.set_key(key.name);
    info.set_help(key.help);
  }
  return infos;
}

}  // namespace mvm::qemu
