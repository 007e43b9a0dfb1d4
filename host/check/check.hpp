// SPDX-License-Identifier: Apache-2.0
// What the validator asks of a plugin, each as a sentence, a group and the rules (docs/abi-rules.md) it is about:
//
//   MVM_PLUGIN_CHECK("a stop of a VM that is not there is not found", "lifecycle", "", own_vm) {
//     Machine m;
//     MVM_EXPECT(m.stop(true).status == MVM_ERR_NOT_FOUND);
//   }
//
// A check runs in a process of its own (check_runner.hpp), on its main thread; expectations may be made on any.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mvm::host::check {

// Whether a check needs a VM of its own, or may be handed one that runs and hand it on (running_vm.hpp).
enum Sharing { own_vm, shares_vm };

struct Check {
  std::string sentence;
  std::string group;
  std::string rules;  // "MVM-P4 MVM-P10"; may be empty
  Sharing sharing = own_vm;
  void (*run)() = nullptr;
};

// Every check, group by group; their places are their numbers.
const std::vector<Check>& all_checks();

// What came of one. The worst of its findings counts.
enum class Verdict { passed, skipped, warning, failed, crashed };
std::string_view to_string(Verdict verdict);

struct Finding {
  Verdict verdict = Verdict::passed;
  std::string details = {};  // a line each
};

// Runs it in this process. Whatever leaves it as an exception is a failure.
Finding run_here(const Check& check);

// ---- for the checks themselves

void add_check(Check check);
struct Registrar {
  explicit Registrar(Check check) { add_check(std::move(check)); }
};

void note(Verdict verdict, const std::string& details);

// Ends the check that is under way.
struct Ended : std::runtime_error {
  explicit Ended(Verdict v, const std::string& why) : std::runtime_error(why), verdict(v) {}
  Verdict verdict;
};

// A yes or no that can say what it was about.
struct Match {
  bool yes;
  std::string words;
  explicit operator bool() const { return yes; }
};
Match contains(std::string_view text, std::string_view part);
Match starts_with(std::string_view text, std::string_view part);

template <class T>
std::string shown(const T& value) {
  if constexpr (std::is_same_v<T, Match>) {
    return value.words;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (requires(std::ostringstream & out) { out << value; }) {
    std::ostringstream out;
    out << value;
    return out.str().size() > 300 ? out.str().substr(0, 300) + "..." : out.str();
  } else {
    return "...";
  }
}

struct Outspoken {
  bool yes;
  std::string words;
};

// Sizes are compared with literals, which are ints.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
// The left side of a comparison, so that both sides can be shown: `Left{} << a == b` is `(Left{} << a) == b`.
template <class T>
struct Compared {
  const T& left;
  template <class U>
  Outspoken say(bool yes, const char* sign, const U& right) const {
    return {yes, yes ? std::string() : shown(left) + " " + sign + " " + shown(right)};
  }
  template <class U>
  Outspoken operator==(const U& right) const {
    return say(left == right, "==", right);
  }
  template <class U>
  Outspoken operator!=(const U& right) const {
    return say(left != right, "!=", right);
  }
  template <class U>
  Outspoken operator<(const U& right) const {
    return say(left < right, "<", right);
  }
  template <class U>
  Outspoken operator<=(const U& right) const {
    return say(left <= right, "<=", right);
  }
  template <class U>
  Outspoken operator>(const U& right) const {
    return say(left > right, ">", right);
  }
  template <class U>
  Outspoken operator>=(const U& right) const {
    return say(left >= right, ">=", right);
  }
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator Outspoken() const {
    return {static_cast<bool>(left), static_cast<bool>(left) ? std::string() : shown(left)};
  }
};
#pragma GCC diagnostic pop
// For all that follows: the precedence that Clang warns of is what makes MVM_EXPECT show both sides.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Woverloaded-shift-op-parentheses"
#endif
struct Left {
  template <class T>
  Compared<T> operator<<(const T& value) const {
    return {value};
  }
};

void expect(const Outspoken& outcome, const char* expression, Verdict otherwise);
void require(const Outspoken& outcome, const char* expression);

}  // namespace mvm::host::check

// Not met: the check has failed, and goes on; it warns, and goes on; it has failed, and ends.
#define MVM_EXPECT(...)                                                               \
  ::mvm::host::check::expect(::mvm::host::check::Left{} << __VA_ARGS__, #__VA_ARGS__, \
                             ::mvm::host::check::Verdict::failed)
#define MVM_RATHER(...)                                                               \
  ::mvm::host::check::expect(::mvm::host::check::Left{} << __VA_ARGS__, #__VA_ARGS__, \
                             ::mvm::host::check::Verdict::warning)
#define MVM_REQUIRE(...) ::mvm::host::check::require(::mvm::host::check::Left{} << __VA_ARGS__, #__VA_ARGS__)
// Ends the check where the plugin or its guest does not have what it is about.
#define MVM_SKIP_UNLESS(what, ...)                                                                            \
  do {                                                                                                        \
    if (!(__VA_ARGS__)) throw ::mvm::host::check::Ended(::mvm::host::check::Verdict::skipped, "needs " what); \
  } while (false)

#define MVM_CHECK_JOIN_(a, b) a##b
#define MVM_CHECK_JOIN(a, b) MVM_CHECK_JOIN_(a, b)
#define MVM_PLUGIN_CHECK(sentence, group, rules, sharing) \
  MVM_PLUGIN_CHECK_(MVM_CHECK_JOIN(check_, __LINE__), sentence, group, rules, sharing)
#define MVM_PLUGIN_CHECK_(name, sentence, group, rules, sharing)                                                  \
  void name();                                                                                                    \
  const ::mvm::host::check::Registrar MVM_CHECK_JOIN(name, _registrar){{sentence, group, rules, sharing, &name}}; \
  void name()
