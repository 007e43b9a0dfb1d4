// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "mvm/options.hpp"

namespace mvm::mock {
namespace {

uint64_t number(const OptionValue& value, std::string_view text, uint64_t min, uint64_t max, std::string_view wanted) {
  uint64_t n = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failed != std::errc() || end != text.data() + text.size() || n < min || n > max) value.refuse(wanted);
  return n;
}

Options::Delay delay(const OptionValue& value, std::string_view text,
                     std::string_view wanted = "a number of milliseconds") {
  return Options::Delay(number(value, text, 0, std::numeric_limits<uint32_t>::max(), wanted));
}

uint32_t port(const OptionValue& value, std::string_view text, std::string_view wanted = "a vsock port") {
  return static_cast<uint32_t>(number(value, text, 1, std::numeric_limits<uint32_t>::max() - 1, wanted));
}

struct Halves {
  std::string_view first;
  std::string_view second;
};

Halves halves(const OptionValue& value, std::string_view text, std::string_view wanted) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) value.refuse(wanted);
  return {text.substr(0, colon), text.substr(colon + 1)};
}

template <class Fn>
void each(std::string_view list, Fn&& fn) {
  while (true) {
    const size_t comma = std::min(list.find(','), list.size());
    fn(list.substr(0, comma));
    if (comma == list.size()) return;
    list.remove_prefix(comma + 1);
  }
}

Verb verb(const OptionValue& value) {
  return value.one_of<Verb>({{"boot", Verb::boot},
                             {"stop", Verb::stop},
                             {"vsock_connect", Verb::vsock_connect},
                             {"share_dir", Verb::share_dir}});
}

bool flag(const OptionValue& value) { return value.one_of<bool>({{"0", false}, {"1", true}}); }

void add_late_ports(Options& o, const OptionValue& v) {
  constexpr std::string_view wanted = "PORT:MS";
  each(v.text, [&](std::string_view item) {
    const auto [p, ms] = halves(v, item, wanted);
    o.late_ports.push_back({port(v, p, wanted), delay(v, ms, wanted)});
  });
}

void add_slow_ports(Options& o, const OptionValue& v) {
  constexpr std::string_view wanted = "PORT:BYTES_PER_S";
  each(v.text, [&](std::string_view item) {
    const auto [p, rate] = halves(v, item, wanted);
    o.slow_ports.push_back({port(v, p, wanted), number(v, rate, 1, uint64_t{1} << 40, wanted)});
  });
}

void set_guest_call(Options& o, const OptionValue& v) {
  const auto [p, text] = halves(v, v.text, "PORT:TEXT");
  o.guest_call = GuestCall{port(v, p, "PORT:TEXT"), std::string(text)};
}

constexpr Option<Options> keys[] = {
    {"boot-delay", "MS: how long the guest takes to boot", [](auto& o, auto& v) { o.boot_delay = delay(v, v.text); }},
    {"boot-error", "TEXT: boot fails with it", [](auto& o, auto& v) { o.boot_error = v.text; }},
    {"connect-delay", "MS: how long each vsock connection takes",
     [](auto& o, auto& v) { o.connect_delay = delay(v, v.text); }},
    {"console-lines", "N: prints so many lines after boot",
     [](auto& o, auto& v) { o.console_lines = number(v, v.text, 0, uint64_t{1} << 40, "a number of lines"); }},
    {"crash", "boot|stop|vsock_connect|share_dir: SIGSEGV in that call", [](auto& o, auto& v) { o.crash = verb(v); }},
    {"crash-after", "MS: SIGSEGV so long after boot", [](auto& o, auto& v) { o.crash_after = delay(v, v.text); }},
    {"exit-after", "MS: the guest shuts itself down so long after boot",
     [](auto& o, auto& v) { o.exit_after = delay(v, v.text); }},
    {"guest-connect", "PORT:TEXT: after boot the guest sends TEXT to that port of the host", &set_guest_call},
    {"hang", "boot|stop|vsock_connect|share_dir: that call is never answered",
     [](auto& o, auto& v) { o.hang = verb(v); }},
    {"ignore-stop", "1: the guest does not react to a graceful stop",
     [](auto& o, auto& v) { o.ignore_stop = flag(v); }},
    {"late-port", "PORT:MS[,...]: an echo port that listens only so long after boot", &add_late_ports},
    {"panic-after", "MS: the guest's kernel panics so long after boot",
     [](auto& o, auto& v) { o.panic_after = delay(v, v.text); }},
    {"refuse-port", "PORT[,...]: connections there are refused at once",
     [](auto& o, auto& v) { each(v.text, [&](std::string_view item) { o.refused_ports.insert(port(v, item)); }); }},
    {"reset-after", "MS: the guest resets so long after boot",
     [](auto& o, auto& v) { o.reset_after = delay(v, v.text); }},
    {"slow-port", "PORT:BYTES_PER_S[,...]: an echo port with a slow guest behind it", &add_slow_ports},
    {"stop-delay", "MS: how long the guest takes to shut down (10)",
     [](auto& o, auto& v) { o.stop_delay = delay(v, v.text); }},
};

}  // namespace

Options parse_options(const google::protobuf::Map<std::string, std::string>& options) {
  Options parsed;
  for (const auto& [name, text] : options) {
    if (!set_option(parsed, keys, name, text)) throw unknown_option("the mock", name, keys);
  }
  return parsed;
}

std::vector<v1::OptionInfo> describe_options() { return mvm::describe_options<v1::OptionInfo>(keys); }

}  // namespace mvm::mock
