// SPDX-License-Identifier: Apache-2.0
#include "base/parse.hpp"

#include <array>
#include <cctype>
#include <limits>
#include <vector>

#include <arpa/inet.h>

namespace mvm::host {
namespace {

// What a user wrote, fit for a message: one line, not a wall of text.
std::string shown(std::string_view text) {
  constexpr size_t longest = 80;
  std::string out(text.substr(0, longest));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text.size() > longest ? out + "..." : out;
}

// "--memory 12X", or "--memory" alone where nothing was written.
std::string subject(std::string_view what, std::string_view text) {
  return text.empty() ? std::string(what) : formatted("{} {}", what, shown(text));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

size_t count_digits(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  return n;
}

// Digits only; false: more than 64 bits.
bool to_uint64(std::string_view digits, uint64_t& value) {
  value = 0;
  for (const char c : digits) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (std::numeric_limits<uint64_t>::max() - digit) / 10) return false;
    value = value * 10 + digit;
  }
  return true;
}

// whole + fraction / 10^fraction_digits. Kept apart: a double would round what it shouldn't.
struct Decimal {
  uint64_t whole = 0;
  uint64_t fraction = 0;
  unsigned fraction_digits = 0;
  std::string_view suffix;
};

struct Quantity {
  std::string_view noun;     // "size"
  std::string_view example;  // "512M or 2G"
};

Result<Decimal> parse_decimal(std::string_view what, std::string_view text, const Quantity& quantity) {
  const auto refuse = [&](std::string_view found) {
    return fail(ErrorKind::invalid, "{}: {}; write a {} such as {}", subject(what, text), found, quantity.noun,
                quantity.example);
  };
  if (text.empty()) return refuse("is empty");
  if (text.front() == '-') return refuse("is negative");
  const size_t whole_digits = count_digits(text);
  if (whole_digits == 0) return refuse(formatted("is not a {}", quantity.noun));

  Decimal out;
  if (!to_uint64(text.substr(0, whole_digits), out.whole)) return refuse("is too large");
  out.suffix = text.substr(whole_digits);
  if (out.suffix.empty() || out.suffix.front() != '.') return out;

  std::string_view fraction = out.suffix.substr(1, count_digits(out.suffix.substr(1)));
  if (fraction.empty()) return refuse(formatted("is not a {}", quantity.noun));
  out.suffix.remove_prefix(1 + fraction.size());
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  constexpr size_t most_digits = 12;
  if (fraction.size() > most_digits) return refuse("has too many digits after the point");
  to_uint64(fraction, out.fraction);
  out.fraction_digits = static_cast<unsigned>(fraction.size());
  return out;
}

// The power of two that a suffix multiplies by; -1: unknown.
int size_shift(std::string_view suffix) {
  const std::string unit = lower(suffix);
  if (unit.empty() || unit == "b") return 0;
  constexpr std::string_view letters = "kmgt";
  const size_t index = letters.find(unit.front());
  const std::string_view rest = std::string_view(unit).substr(1);
  if (index == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return -1;
  return static_cast<int>(index + 1) * 10;
}

// fraction / 10^digits * 2^shift where that is whole. 10^digits is 2^digits * 5^digits: no step leaves 64 bits.
bool scale_fraction(const Decimal& number, int shift, uint64_t& bytes) {
  uint64_t fives = 1;
  for (unsigned i = 0; i < number.fraction_digits; ++i) fives *= 5;
  if (number.fraction % fives != 0) return false;
  const uint64_t scaled = (number.fraction / fives) << shift;
  bytes = scaled >> number.fraction_digits;
  return bytes << number.fraction_digits == scaled;
}

// The milliseconds that a suffix stands for; 0: unknown.
uint64_t duration_unit_ms(std::string_view suffix) {
  const std::string unit = lower(suffix);
  if (unit == "ms") return 1;
  if (unit.empty() || unit == "s") return 1000;
  if (unit == "m") return 60 * 1000;
  if (unit == "h") return 60 * 60 * 1000;
  return 0;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0;;) {
    const size_t next = text.find(separator, at);
    parts.push_back(text.substr(at, next == std::string_view::npos ? next : next - at));
    if (next == std::string_view::npos) return parts;
    at = next + 1;
  }
}

// Takes what follows the last ':' off `rest`.
bool split_last(std::string_view& rest, std::string_view& last) {
  const size_t colon = rest.rfind(':');
  last = colon == std::string_view::npos ? rest : rest.substr(colon + 1);
  rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(0, colon);
  return colon != std::string_view::npos;
}

bool is_number(std::string_view text) { return !text.empty() && count_digits(text) == text.size(); }

Result<uint16_t> parse_port(std::string_view whole, std::string_view which, std::string_view text) {
  uint64_t value = 0;
  if (!is_number(text) || !to_uint64(text, value) || value < 1 || value > 65535) {
    return fail(ErrorKind::invalid, "{}: {} port {} is not a port; write a number from 1 to 65535", whole, which,
                text.empty() ? "\"\"" : shown(text));
  }
  return static_cast<uint16_t>(value);
}

bool is_address(int family, const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> unused{};
  // inet_pton would read up to the first NUL only.
  return text.find('\0') == std::string::npos && ::inet_pton(family, text.c_str(), unused.data()) == 1;
}

Result<std::string> parse_address(std::string_view whole, std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    std::string inner(text.substr(1, text.size() - 2));
    if (is_address(AF_INET6, inner)) return inner;
  } else if (std::string plain(text); is_address(AF_INET, plain)) {
    return plain;
  } else if (is_address(AF_INET6, plain)) {
    return fail(ErrorKind::invalid, "{}: an IPv6 address goes in brackets; write [{}]:HOST:GUEST", whole, plain);
  }
  return fail(ErrorKind::invalid, "{}: address {} is not a numeric one; write for instance 127.0.0.1 or [::1]", whole,
              text.empty() ? "\"\"" : shown(text));
}

Result<uint16_t> parse_guest_port(std::string_view whole, std::string_view text) {
  constexpr uint16_t highest_guest_port = 55535;
  MVM_TRY(const uint16_t port, parse_port(whole, "guest", text));
  if (port <= highest_guest_port) return port;
  return fail(ErrorKind::invalid,
              "{}: guest port {} is over {}, the highest that can be forwarded (its vsock port is 10000 higher); "
              "serve it on a lower port in the guest",
              whole, port, highest_guest_port);
}

Result<std::string> parse_socket_path(std::string_view whole, std::string_view text) {
  if (text.size() > unix_prefix.size() && text.find('\0') == std::string_view::npos) return std::string(text);
  return fail(ErrorKind::invalid, "{}: has no path; write for instance unix:/run/web.sock:80", whole);
}

}  // namespace

Result<uint64_t> parse_size(std::string_view what, std::string_view text) {
  MVM_TRY(const Decimal number, parse_decimal(what, text, {"size", "512M or 2G"}));
  const int shift = size_shift(number.suffix);
  if (shift < 0) {
    return fail(ErrorKind::invalid, "{}: unknown unit \"{}\"; use K, M, G or T", subject(what, text),
                shown(number.suffix));
  }
  if (number.whole > std::numeric_limits<uint64_t>::max() >> shift) {
    return fail(ErrorKind::invalid, "{}: is too large; write a size such as 512M or 2G", subject(what, text));
  }
  uint64_t part = 0;
  if (!scale_fraction(number, shift, part)) {
    return fail(ErrorKind::invalid, "{}: is not a whole number of bytes; write a size such as 512M or 2G",
                subject(what, text));
  }
  return (number.whole << shift) + part;
}

Result<std::chrono::milliseconds> parse_duration(std::string_view what, std::string_view text) {
  constexpr uint64_t most_ms = std::numeric_limits<int32_t>::max();
  MVM_TRY(const Decimal number, parse_decimal(what, text, {"duration", "30s or 500ms"}));
  const uint64_t unit = duration_unit_ms(number.suffix);
  if (unit == 0) {
    return fail(ErrorKind::invalid, "{}: unknown unit \"{}\"; use ms, s, m or h", subject(what, text),
                shown(number.suffix));
  }
  uint64_t power = 1;
  for (unsigned i = 0; i < number.fraction_digits; ++i) power *= 10;
  // At most 10^12 * 3.6 * 10^6: within 64 bits.
  if (number.fraction * unit % power != 0) {
    return fail(ErrorKind::invalid, "{}: is finer than a millisecond; write a duration such as 30s or 500ms",
                subject(what, text));
  }
  const uint64_t part = number.fraction * unit / power;
  if (number.whole > most_ms / unit || number.whole * unit + part > most_ms) {
    return fail(ErrorKind::invalid, "{}: is too long; write at most 24 days (576h)", subject(what, text));
  }
  return std::chrono::milliseconds(number.whole * unit + part);
}

std::string host_end_text(const std::string& address, uint32_t host_port) {
  if (address.starts_with(unix_prefix)) return address;
  const bool is_v6 = address.find(':') != std::string::npos;
  return formatted("{}{}{}:{}", is_v6 ? "[" : "", address, is_v6 ? "]" : "", host_port);
}

Result<PortPair> parse_publish(std::string_view text, std::string_view what) {
  const std::string whole = subject(what, text);
  std::string_view rest = text;
  std::string_view guest;
  std::string_view host;
  if (!split_last(rest, guest)) {
    return fail(ErrorKind::invalid, "{}: is not [ADDR:]HOST:GUEST; write for instance 8080:80 or 127.0.0.1:8080:80",
                whole);
  }
  PortPair pair;
  pair.address = "127.0.0.1";
  if (text.starts_with(unix_prefix)) {
    if (guest.find('/') != std::string_view::npos) {
      return fail(ErrorKind::invalid, "{}: has no guest port; write for instance {}:80", whole, shown(text));
    }
    MVM_TRY(pair.address, parse_socket_path(whole, rest));
  } else {
    if (split_last(rest, host)) {
      MVM_TRY(pair.address, parse_address(whole, rest));
    }
    MVM_TRY(pair.host_port, parse_port(whole, "host", host));
  }
  MVM_TRY(pair.guest_port, parse_guest_port(whole, guest));
  return pair;
}

Result<PortPair> parse_published(std::string_view text, std::string_view what) {
  const std::string whole = subject(what, text);
  std::string_view rest = text;
  std::string_view last;
  const bool has_more = split_last(rest, last);
  PortPair pair;
  pair.address = "127.0.0.1";
  if (text.starts_with(unix_prefix)) {
    // A path that ends in ":80" is told from a guest port by naming that too.
    if (rest.size() > unix_prefix.size() && is_number(last)) return parse_publish(text, what);
    MVM_TRY(pair.address, parse_socket_path(whole, text));
    return pair;
  }
  // "HOST:GUEST" and "ADDR:HOST:GUEST" against "ADDR:HOST": an address is no number, and an IPv6 one is in brackets.
  const bool has_guest =
      has_more && (is_number(rest) || (rest.rfind(':') != std::string_view::npos && rest.back() != ']'));
  if (has_guest) return parse_publish(text, what);
  if (has_more) {
    MVM_TRY(pair.address, parse_address(whole, rest));
  }
  MVM_TRY(pair.host_port, parse_port(whole, "host", last));
  return pair;
}

Result<ShareText> parse_share(std::string_view text) {
  std::vector<std::string_view> parts = split(text, ':');
  ShareText share;
  if (parts.size() > 1 && (parts.back() == "rw" || parts.back() == "ro")) {
    share.writable = parts.back() == "rw";
    parts.pop_back();
  }
  if (parts.size() > 2) {
    return fail(ErrorKind::invalid, "{}: is not DIR[:TAG][:rw]; a directory's name may not contain ':'",
                subject("--share", text));
  }
  if (parts.front().empty()) {
    return fail(ErrorKind::invalid, "{}: the directory is empty; write DIR[:TAG][:rw]", subject("--share", text));
  }
  if (parts.size() == 2 && parts.back().empty()) {
    return fail(ErrorKind::invalid, "{}: the tag is empty; write DIR[:TAG][:rw]", subject("--share", text));
  }
  share.path = parts.front();
  if (parts.size() == 2) share.tag = parts.back();
  return share;
}

Result<DiskText> parse_disk(std::string_view text) {
  DiskText disk;
  std::string_view path = text;
  if (path.ends_with(":ro") || path.ends_with(":rw")) {
    disk.read_only = path.ends_with(":ro");
    path.remove_suffix(3);
  }
  if (path.empty()) {
    return fail(ErrorKind::invalid, "{}: the file is empty; write FILE[:ro]", subject("--disk", text));
  }
  disk.path = path;
  return disk;
}

Result<std::pair<std::string, std::string>> parse_option(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return fail(ErrorKind::invalid, "{}: has no '='; write KEY=VALUE", subject("--option", text));
  }
  const std::string_view key = text.substr(0, equals);
  const auto is_plain = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); };
  bool good = !key.empty() && is_plain(key.front());
  for (const char c : key) good = good && (is_plain(c) || c == '.' || c == '-');
  if (!good) {
    return fail(ErrorKind::invalid, "{}: \"{}\" is not a key; keys are made of a-z, 0-9, '.' and '-'",
                subject("--option", text), shown(key));
  }
  return std::pair<std::string, std::string>(key, text.substr(equals + 1));
}

std::string format_size(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  auto value = static_cast<double>(bytes);
  // What would round to 1024.0 is one of the next unit.
  while (unit + 1 < units.size() && value >= (unit == 0 ? 1024.0 : 1023.95)) {
    value /= 1024;
    ++unit;
  }
  std::string text = formatted("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return formatted("{} {}", text, units[unit]);
}

}  // namespace mvm::host
