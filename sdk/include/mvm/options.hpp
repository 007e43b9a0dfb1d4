// SPDX-License-Identifier: Apache-2.0
// For authors of hypervisors in C++: VmSpec.options, what can be said to one plugin alone. One table names each option,
// and serves boot, `mvmhost plugin info` and the errors. Header-only; knows the standard library.
//
//   struct Options { bool nested = false; };
//   constexpr mvm::Option<Options> known[] = {
//       {"nested", "yes|no: the guest may run virtual machines itself (no)",
//        [](Options& o, const mvm::OptionValue& v) { o.nested = v.one_of<bool>({{"yes", true}, {"no", false}}); }},
//   };
//   for (const auto& [key, text] : spec.options()) {
//     if (!mvm::set_option(options, known, key, text)) throw mvm::unknown_option("my-hypervisor", key, known);
//   }
//
// No function here keeps anything, so any thread may call any of them.
#ifndef MVM_OPTIONS_HPP
#define MVM_OPTIONS_HPP

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypervisor.hpp"

namespace mvm {

// One option as it was given. Borrows its strings.
struct OptionValue {
  std::string_view key;
  std::string_view text;

  // Throws mvm::Error, MVM_ERR_INVALID: option KEY: "TEXT" is not WANTED.
  [[noreturn]] void refuse(std::string_view wanted) const {
    throw Error(MVM_ERR_INVALID,
                "option " + std::string(key) + ": \"" + std::string(text) + "\" is not " + std::string(wanted));
  }

  // What the text stands for. Throws mvm::Error, MVM_ERR_INVALID, with the choices in their order: "a, b or c".
  template <class T>
  T one_of(std::initializer_list<std::pair<std::string_view, T>> choices) const {
    std::string wanted;
    size_t left = choices.size();
    for (const auto& [word, meaning] : choices) {
      if (text == word) return meaning;
      if (!wanted.empty()) wanted += left == 1 ? " or " : ", ";
      wanted += word;
      --left;
    }
    refuse(wanted);
  }
};

// An option that the plugin knows. T: where its value goes; set throws mvm::Error where the text is no value.
template <class T>
struct Option {
  const char* name;
  const char* help;  // for people: "MS: how long …", "yes|no: …", with the default in brackets
  void (*set)(T& options, const OptionValue& value);
};

// False: there is none of that name, and nothing was set. Throws what the option's set throws.
template <class T, size_t N>
bool set_option(T& options, const Option<T> (&known)[N], std::string_view key, std::string_view text) {
  for (const Option<T>& option : known) {
    if (key != option.name) continue;
    option.set(options, OptionValue{key, text});
    return true;
  }
  return false;
}

// To throw: MVM_ERR_INVALID, with the names of all tables in their order. plugin: as the user calls it.
template <class... Tables>
Error unknown_option(std::string_view plugin, std::string_view key, const Tables&... known) {
  std::string names;
  [[maybe_unused]] const auto add = [&names](const auto& table) {
    for (const auto& option : table) names += (names.empty() ? "" : ", ") + std::string(option.name);
  };
  (add(known), ...);
  return Error(MVM_ERR_INVALID, "option " + std::string(key) + ": unknown; " + std::string(plugin) + " knows " +
                                    (names.empty() ? "none" : names));
}

// For HypervisorInfo.options. OptionInfo: the caller's class of that message.
template <class OptionInfo, class... Tables>
std::vector<OptionInfo> describe_options(const Tables&... known) {
  std::vector<OptionInfo> infos;
  [[maybe_unused]] const auto add = [&infos](const auto& table) {
    for (const auto& option : table) {
      OptionInfo& info = infos.emplace_back();
      info.set_key(option.name);
      info.set_help(option.help);
    }
  };
  (add(known), ...);
  return infos;
}

}  // namespace mvm

#endif  // MVM_OPTIONS_HPP
