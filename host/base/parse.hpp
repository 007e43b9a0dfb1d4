// SPDX-License-Identifier: Apache-2.0
// Values as users write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mvm::host {

// "512M", "2G", "1.5G", "1048576", "64KiB": powers of 1024, suffix K, M, G or T with optional "iB" or "B", any case; no
// suffix is bytes. Errors (invalid): empty, negative, not a number, unknown suffix, over 64 bits, not a whole number of
// bytes. `what` is the error's subject ("--memory").
Result<uint64_t> parse_size(std::string_view what, std::string_view text);

// "30s", "500ms", "2m", "1h", "1.5s", "30" (seconds). Errors (invalid): as above, and over 24 days (32 bits of ms).
Result<std::chrono::milliseconds> parse_duration(std::string_view what, std::string_view text);

struct PortPair {
  std::string address;  // numeric, "127.0.0.1" where none was given; or "unix:PATH", and no host port then
  uint16_t host_port = 0;
  uint16_t guest_port = 0;
};

inline constexpr std::string_view unix_prefix = "unix:";

// The host's end as users write it: "127.0.0.1:8080", "[::1]:8080", "unix:/run/web.sock".
std::string host_end_text(const std::string& address, uint32_t host_port);

// "[ADDR:]HOST:GUEST", an IPv6 ADDR in brackets: "8080:80", "0.0.0.0:8080:80", "[::1]:8080:80"; or "unix:PATH:GUEST".
// Errors (invalid) begin with `what`: not of that form, port 0 or over 65535, guest port over 55535 (10000 + it must be
// a port the agent serves), ADDR not a numeric address, no PATH.
Result<PortPair> parse_publish(std::string_view text, std::string_view what = "--publish");

// What unpublish takes: "[ADDR:]HOST[:GUEST]" or "unix:PATH[:GUEST]"; guest_port 0: any. Errors as parse_publish.
Result<PortPair> parse_published(std::string_view text, std::string_view what = "unpublish");

struct ShareText {
  std::string path;  // as written
  std::string tag;   // empty: not given
  bool writable = false;
};

// "DIR[:TAG][:rw]", also ":ro". A DIR may not contain ':'. Errors (invalid): empty DIR or TAG, too many parts.
Result<ShareText> parse_share(std::string_view text);

struct DiskText {
  std::string path;
  bool read_only = false;
};

// "F[:ro]", also ":rw".
Result<DiskText> parse_disk(std::string_view text);

// "K=V": K is [a-z0-9][a-z0-9.-]*, V anything.
Result<std::pair<std::string, std::string>> parse_option(std::string_view text);

// 536870912 -> "512 MiB", 1610612736 -> "1.5 GiB"; for people.
std::string format_size(uint64_t bytes);

}  // namespace mvm::host
