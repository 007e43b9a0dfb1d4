// SPDX-License-Identifier: Apache-2.0
#include "dial_service.hpp"

#include <charconv>
#include <memory>
#include <optional>

#include "call_host.hpp"
#include "relay.hpp"

namespace mvm::mock {
namespace {

constexpr size_t max_line_bytes = 64;

std::optional<uint32_t> dialled_port(std::string_view line) {
  constexpr std::string_view verb = "DIAL ";
  if (!line.starts_with(verb)) return std::nullopt;
  line.remove_prefix(verb.size());
  uint32_t port = 0;
  const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), port);
  if (failed != std::errc() || end != line.data() + line.size()) return std::nullopt;
  return port;
}

}  // namespace

void DialService::on_bytes(std::string_view bytes) {
  line_ += bytes;
  const size_t end = line_.find('\n');
  if (end == std::string::npos && line_.size() <= max_line_bytes) return;
  const auto port = dialled_port(std::string_view(line_).substr(0, end));
  if (!port) return refuse("ERR not DIAL <port>\n");
  dial(*port, line_.substr(end + 1));
}

void DialService::dial(uint32_t port, std::string already_read) {
  UniqueFd to_host = call_host(host_ports_, port);
  if (!to_host) return refuse("ERR refused\n");
  auto& all = connections();
  const auto self = shared_from_this();  // release takes us out of the table
  Socket near = adopt(loop_, release());
  std::make_shared<Relay>(all, std::move(near), adopt(loop_, std::move(to_host)), std::move(already_read))->start();
}

void DialService::refuse(std::string_view answer) {
  send(answer);
  finish();
}

}  // namespace mvm::mock
