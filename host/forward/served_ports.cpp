// SPDX-License-Identifier: Apache-2.0
#include "forward/served_ports.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>

#include "base/log.hpp"
#include "mvm/ext/guest_connect.h"

namespace mvm::host {

std::optional<uint32_t> parse_port_socket(std::string_view vsock_socket_name, std::string_view name) {
  if (name.substr(0, vsock_socket_name.size()) != vsock_socket_name) return std::nullopt;
  name.remove_prefix(vsock_socket_name.size());
  if (name.size() < 2 || name.front() != '_') return std::nullopt;
  name.remove_prefix(1);
  if (name.front() == '0' && name.size() > 1) return std::nullopt;
  uint32_t port = 0;  // from_chars takes no sign for what is unsigned, and no blanks
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), port);
  if (error != std::errc() || end != name.data() + name.size() || port == MVM_GUEST_PORT_ANY) return std::nullopt;
  return port;
}

ServedPorts::ServedPorts(std::filesystem::path vsock_socket, Apply apply, size_t max_ports)
    : vsock_socket_(std::move(vsock_socket)), apply_(std::move(apply)), max_ports_(max_ports) {}

Result<std::shared_ptr<ServedPorts>> ServedPorts::watch(boost::asio::io_context& loop,
                                                        std::filesystem::path vsock_socket, Apply apply,
                                                        size_t max_ports) {
  const std::shared_ptr<ServedPorts> ports(new ServedPorts(std::move(vsock_socket), std::move(apply), max_ports));
  ports->self_ = ports;
  // Before the first look, so that nothing comes unseen between the two.
  MVM_TRY(ports->watch_,
          FileWatch::watch_directory(loop, ports->vsock_socket_.parent_path(), [raw = ports.get()] { raw->look(); }));
  ports->look();
  return ports;
}

// Nothing: the directory cannot be read.
std::optional<std::set<uint32_t>> ServedPorts::find_sockets() const {
  std::set<uint32_t> found;
  const std::string name = vsock_socket_.filename().string();
  std::error_code error;
  auto entry = std::filesystem::directory_iterator(vsock_socket_.parent_path(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const auto port = parse_port_socket(name, entry->path().filename().native());
    std::error_code gone;
    if (port && entry->is_socket(gone)) found.insert(*port);
  }
  if (error) return std::nullopt;
  return found;
}

// Brings told_ up to date.
std::vector<PortChange> ServedPorts::changes(const std::set<uint32_t>& sockets) {
  std::vector<PortChange> all;
  for (auto port = told_.begin(); port != told_.end();) {
    if (sockets.count(*port) != 0) {
      ++port;
      continue;
    }
    all.push_back({*port, false});
    port = told_.erase(port);
  }
  for (const uint32_t port : sockets) {
    if (told_.size() >= max_ports_) break;
    if (told_.insert(port).second) all.push_back({port, true});
  }
  const bool full = told_.size() < sockets.size();
  if (full && !full_) {
    log::warn("{}_P: {} sockets, and the guest reaches {} at once at most; the others when one of these goes",
              vsock_socket_.filename().string(), sockets.size(), max_ports_);
  }
  full_ = full;
  return all;
}

void ServedPorts::look() {
  if (applying_) {
    look_again_ = true;
    return;
  }
  const auto sockets = find_sockets();
  if (!sockets) return;
  auto changed = changes(*sockets);
  if (changed.empty()) return;
  applying_ = true;
  apply_(std::move(changed), [weak = self_] {
    const auto self = weak.lock();
    if (!self) return;
    self->applying_ = false;
    if (std::exchange(self->look_again_, false)) self->look();
  });
}

}  // namespace mvm::host
