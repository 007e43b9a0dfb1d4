// SPDX-License-Identifier: Apache-2.0
#include "machine/identity.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/stat.h>

#include "mvm/hypervisor.hpp"
#include "network/dhcp_leases.hpp"
#include "support/catch.hpp"
#include "vz_double.h"

using namespace mvm;
using namespace mvm::apple_vz;

namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "identity-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }
  std::string file() const { return path_ / "demo.machine-identifier"; }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a guest has the same machine identifier at every boot, in a file for its owner alone") {
  const Directory dir;
  const std::string first = machine_identifier(dir.path(), "demo");
  CHECK_FALSE(first.empty());
  CHECK(machine_identifier(dir.path(), "demo") == first);
  CHECK(machine_identifier(dir.path(), "other") != first);
  struct stat info {};
  REQUIRE(::stat(dir.file().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a machine identifier that is damaged is named with its file, and not replaced") {
  const Directory dir;
  std::ofstream(dir.file()) << "nonsense";
  CHECK_THROWS_WITH(machine_identifier(dir.path(), "demo"),
                    dir.file() + ": holds no machine identifier; remove it, and the guest gets a new one");
  std::ofstream(dir.file()) << "";
  CHECK_THROWS_WITH(machine_identifier(dir.path(), "demo"),
                    dir.file() + ": is empty; remove it, and the guest gets a new identifier");
}

TEST_CASE("macOS 12 knows no machine identifier, and leaves one of a later system alone") {
  const Directory dir;
  const std::string kept = machine_identifier(dir.path(), "demo");
  vz_double_set_system("12.5");
  CHECK(machine_identifier(dir.path(), "demo").empty());
  CHECK(machine_identifier(dir.path(), "other").empty());
  vz_double_set_system("15.0");
  CHECK(machine_identifier(dir.path(), "demo") == kept);
}

TEST_CASE("a derived MAC is the VM's own, locally administered, and the same each time") {
  const std::string mac = derived_mac("/a", "demo");
  CHECK(derived_mac("/a", "demo") == mac);
  CHECK(derived_mac("/a", "demo2") != mac);
  CHECK(derived_mac("/b", "demo") != mac);
  const auto parsed = parse_mac(mac);
  REQUIRE(parsed);
  CHECK(((*parsed)[0] & 3) == 2);
}
