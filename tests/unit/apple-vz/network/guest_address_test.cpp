// SPDX-License-Identifier: Apache-2.0
#include "network/guest_address.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"

using mvm::apple_vz::AddressSources;
using mvm::apple_vz::guest_address;
using mvm::apple_vz::Mac;

namespace {

constexpr const char* mac = "ee:a7:85:09:92:39";

// A bootpd whose clock stands at 1000 s, and a table of neighbours with one entry or none.
class Network {
 public:
  Network()
      : file_(std::filesystem::temp_directory_path() /
              ("leases-" + std::to_string(++count_) + std::to_string(::getpid()))) {}
  ~Network() { std::filesystem::remove(file_); }
  void write(const std::string& leases) { std::ofstream(file_) << leases; }
  void hear(const std::string& address) { heard_ = address; }

  std::string ask(const std::string& of = mac) {
    AddressSources sources;
    sources.leases_file = file_.string();
    sources.neighbour = [this](const Mac&) -> std::optional<std::string> {
      ++asked;
      return heard_;
    };
    sources.now = std::chrono::system_clock::time_point(std::chrono::seconds(1000));
    return guest_address(of, sources);
  }
  int asked = 0;

 private:
  static inline int count_ = 0;
  std::filesystem::path file_;
  std::optional<std::string> heard_;
};

std::string lease(const std::string& address, const std::string& expires) {
  return "{\n\tip_address=" + address + "\n\thw_address=1,ee:a7:85:9:92:39\n\tlease=" + expires + "\n}\n";
}

}  // namespace

TEST_CASE("a lease that is valid answers without asking the neighbours") {
  Network network;
  network.write(lease("192.168.64.2", "0x3e9"));
  CHECK(network.ask() == "192.168.64.2");
  CHECK(network.asked == 0);
}

TEST_CASE("a neighbour heard of late counts more than a lease that has expired, and that more than nothing") {
  Network network;
  network.write(lease("192.168.64.2", "0x3e8"));
  CHECK(network.ask() == "192.168.64.2");
  network.hear("192.168.64.9");
  CHECK(network.ask() == "192.168.64.9");
}

TEST_CASE("a guest whose MAC the leases hide is found among the neighbours (tart#912)") {
  Network network;
  network.write("{\n\tip_address=192.168.64.2\n\thw_address=ff,f1:f5:dd:7f:0:2:0:0:ab:11\n\tlease=0x3e9\n}\n");
  network.hear("192.168.64.7");
  CHECK(network.ask() == "192.168.64.7");
}

TEST_CASE("without leases, neighbours or a MAC there is no address") {
  Network network;
  CHECK(network.ask().empty());
  network.hear("192.168.64.7");
  CHECK(network.ask("not a mac").empty());
}

TEST_CASE("a file of leases that was replaced is read anew") {
  Network network;
  network.write(lease("192.168.64.2", "0x3e9"));
  CHECK(network.ask() == "192.168.64.2");
  network.write(lease("192.168.64.3", "0x3e9"));
  CHECK(network.ask() == "192.168.64.3");
}
