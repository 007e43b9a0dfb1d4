// SPDX-License-Identifier: Apache-2.0
// Guest to host where the hypervisor needs each port by its number: which ports of the host somebody serves, told by
// the Unix sockets "<vsock.sock>_P" that come and go beside vsock.sock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/file_watch.hpp"
#include "base/result.hpp"

namespace mvm::host {

// "vsock.sock_1024" is 1024 where vsock.sock's name is "vsock.sock". The number is decimal, without sign or leading
// zeros, at most 4294967294 (VMADDR_PORT_ANY is no port); of every other name nothing.
std::optional<uint32_t> parse_port_socket(std::string_view vsock_socket_name, std::string_view name);

struct PortChange {
  uint32_t port = 0;
  bool served = false;
  bool operator==(const PortChange&) const = default;
};

inline constexpr size_t max_served_ports = 1024;

// Event loop: one thread, this one.
class ServedPorts {
 public:
  // Called with what changed since the last call, on the loop, and not again before done was called (on the loop; also
  // when the ServedPorts is gone).
  using Apply = std::function<void(std::vector<PortChange> changes, std::function<void()> done)>;

  // Calls apply for the ports that are served now, before it returns, and whenever that changes, until it is destroyed.
  // At most max_ports at once; those beyond wait until others go, which is logged. Errors (failed): the directory
  // cannot be watched.
  static Result<std::shared_ptr<ServedPorts>> watch(boost::asio::io_context& loop, std::filesystem::path vsock_socket,
                                                    Apply apply, size_t max_ports = max_served_ports);

 private:
  ServedPorts(std::filesystem::path vsock_socket, Apply apply, size_t max_ports);
  std::optional<std::set<uint32_t>> find_sockets() const;
  std::vector<PortChange> changes(const std::set<uint32_t>& sockets);
  void look();

  std::filesystem::path vsock_socket_;
  Apply apply_;
  size_t max_ports_;
  std::unique_ptr<FileWatch> watch_;
  std::weak_ptr<ServedPorts> self_;
  std::set<uint32_t> told_;
  bool applying_ = false;
  bool look_again_ = false;
  bool full_ = false;
};

}  // namespace mvm::host
