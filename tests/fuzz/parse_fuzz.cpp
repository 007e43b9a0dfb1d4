// SPDX-License-Identifier: Apache-2.0
#include "base/parse.hpp"

#include <limits>

#include "fuzz.hpp"

using namespace mvm::host;
using mvm::fuzz::must;

namespace {

template <class T>
bool clear(const Result<T>& result, std::string_view subject) {
  if (result) return true;
  const std::string& message = result.error().message;
  must(result.error().kind == ErrorKind::invalid);
  must(message.starts_with(subject));
  must(message.size() < 500);
  for (const char c : message) must(static_cast<unsigned char>(c) >= 0x20);
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = mvm::fuzz::text(data, size);
  clear(parse_size("--memory", text), "--memory");
  if (const auto t = parse_duration("--timeout", text); clear(t, "--timeout")) {
    must(t->count() >= 0 && t->count() <= std::numeric_limits<int32_t>::max());
  }
  if (const auto p = parse_publish(text); clear(p, "--publish")) {
    // The host's end is a TCP port, or a Unix socket and no port.
    const bool is_socket = p->address.starts_with("unix:");
    must(is_socket ? p->host_port == 0 && p->address.size() > 5 : p->host_port >= 1);
    must(p->guest_port >= 1 && p->guest_port <= 55535 && !p->address.empty());
  }
  if (const auto s = parse_share(text); clear(s, "--share")) {
    must(!s->path.empty() && s->path.find(':') == std::string::npos && s->tag.find(':') == std::string::npos);
  }
  if (const auto d = parse_disk(text); clear(d, "--disk")) must(!d->path.empty());
  if (const auto o = parse_option(text); clear(o, "--option")) must(!o->first.empty());
  uint64_t number = 0;
  for (size_t i = 0; i < size && i < sizeof(number); ++i) number = number << 8 | data[i];
  must(!format_size(number).empty());
  return 0;
}
