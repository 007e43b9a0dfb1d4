// SPDX-License-Identifier: Apache-2.0
#include "machine/spec_check.hpp"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include "mvm/hypervisor.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::apple_vz;

namespace {

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr Limits limits{1, 8, 64 * mib, 4096 * mib};

struct Refusal {
  mvm_status status = MVM_OK;
  std::string words;
  bool operator==(const Refusal&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Refusal& refusal) {
  return out << refusal.status << " " << refusal.words;
}

// A spec for an arm64 Mac, with its files.
class Spec {
 public:
  Spec() {
    std::string pattern = std::filesystem::temp_directory_path() / "spec-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    std::string kernel(1024, '\0');
    kernel.replace(0x38, 4, "ARM\x64");
    v1.set_name("demo");
    v1.set_kernel(write("Image", kernel));
    v1.set_cpus(2);
    v1.set_memory_bytes(512 * mib);
  }
  ~Spec() { std::filesystem::remove_all(dir_); }

  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return dir_ / name;
  }
  std::string dir() const { return dir_; }
  v1::Disk& add_disk(const std::string& path) {
    v1::Disk& disk = *v1.add_disks();
    disk.set_path(path);
    disk.set_format(v1::DISK_FORMAT_RAW);
    return disk;
  }
  v1::Share& add_share(const std::string& tag, const std::string& path) {
    v1::Share& share = *v1.add_shares();
    share.set_tag(tag);
    share.set_path(path);
    return share;
  }
  Refusal check() const {
    try {
      check_spec(v1, limits, Architecture::arm64);
      return {};
    } catch (const Error& e) {
      return {e.status(), e.what()};
    }
  }

  v1::VmSpec v1;

 private:
  std::filesystem::path dir_;
};

}  // namespace

TEST_CASE("a spec in order is taken") {
  Spec spec;
  spec.add_disk(spec.write("disk", std::string(1024, 'x')));
  spec.add_share("work", spec.dir());
  spec.v1.mutable_network()->set_enabled(true);
  spec.v1.mutable_network()->set_mac("52:54:00:12:34:56");
  CHECK(spec.check() == Refusal{});
}

TEST_CASE("memory that is no multiple of 1 MiB is refused with the two that are next to it") {
  Spec spec;
  spec.v1.set_memory_bytes(512 * mib + 1);
  CHECK(spec.check() ==
        Refusal{MVM_ERR_INVALID, "memory: 536870913 bytes are no multiple of 1 MiB; say 512 MiB or 513 MiB"});
}

TEST_CASE("processors and memory are held to what the framework allows on this Mac") {
  Spec spec;
  spec.v1.set_cpus(9);
  CHECK(spec.check() == Refusal{MVM_ERR_INVALID, "cpus: 9 is not 1 to 8, which this Mac allows"});
  spec.v1.set_cpus(0);
  CHECK(spec.check().status == MVM_ERR_INVALID);
  spec.v1.set_cpus(1);
  spec.v1.set_memory_bytes(63 * mib);
  CHECK(spec.check() ==
        Refusal{MVM_ERR_INVALID, "memory: 66060288 bytes are not 64 MiB to 4096 MiB, which this Mac allows"});
}

TEST_CASE("an x86 kernel is refused on Apple silicon before the framework sees it") {
  Spec spec;
  std::string bzimage(1024, '\0');
  bzimage.replace(0x1fe, 2, "\x55\xaa").replace(0x202, 4, "HdrS");
  spec.v1.set_kernel(spec.write("bzImage", bzimage));
  CHECK_THAT(spec.check().words, test::ContainsSubstring("is for x86-64, this Mac runs arm64 guests"));
}

TEST_CASE("a disk that is missing, empty, cut short or a directory is refused by its path") {
  Spec spec;
  v1::Disk& disk = spec.add_disk(spec.dir() + "/none");
  CHECK(spec.check() == Refusal{MVM_ERR_NOT_FOUND, "disk " + spec.dir() + "/none: No such file or directory"});
  disk.set_path(spec.write("empty", ""));
  CHECK(spec.check() == Refusal{MVM_ERR_INVALID, "disk " + disk.path() + ": is empty"});
  disk.set_path(spec.write("odd", std::string(513, 'x')));
  CHECK(spec.check() ==
        Refusal{MVM_ERR_INVALID,
                "disk " + disk.path() + ": its 513 bytes are no multiple of 512; an image that was cut short?"});
  disk.set_path(spec.dir());
  CHECK(spec.check() == Refusal{MVM_ERR_INVALID, "disk " + disk.path() + ": is a directory"});
  disk.set_path("/dev/null");
  CHECK(spec.check() ==
        Refusal{MVM_ERR_INVALID, "disk /dev/null: is not an image file, which is what this plugin attaches"});
}

TEST_CASE("a qcow2 image is refused with the command that converts it") {
  Spec spec;
  spec.add_disk(spec.write("disk", std::string(1024, 'x'))).set_format(v1::DISK_FORMAT_QCOW2);
  CHECK(spec.check().status == MVM_ERR_UNSUPPORTED);
  CHECK_THAT(spec.check().words, test::ContainsSubstring("qemu-img convert -O raw"));
}

TEST_CASE("a disk that may not be written is refused, unless it is only to be read") {
  if (::geteuid() == 0) return;  // root may write it
  Spec spec;
  v1::Disk& disk = spec.add_disk(spec.write("disk", std::string(512, 'x')));
  ::chmod(disk.path().c_str(), 0400);
  CHECK(spec.check() ==
        Refusal{MVM_ERR_DENIED,
                "disk " + disk.path() + ": Permission denied; say :ro where the guest only has to read it"});
  disk.set_read_only(true);
  CHECK(spec.check() == Refusal{});
}

TEST_CASE("a tag that is empty, of 36 bytes, no file's name, the plugin's own or taken is refused") {
  const auto refusal = [](const std::string& tag) {
    Spec spec;
    spec.add_share(tag, spec.dir());
    return spec.check();
  };
  CHECK(refusal(std::string(35, 't')) == Refusal{});
  CHECK(refusal("") == Refusal{MVM_ERR_INVALID, "share \"\": a tag has 1 to 35 bytes"});
  CHECK(refusal(std::string(36, 't')).status == MVM_ERR_INVALID);
  CHECK(refusal("..").status == MVM_ERR_INVALID);
  CHECK(refusal("a/b").status == MVM_ERR_INVALID);
  CHECK(refusal("mvm") == Refusal{MVM_ERR_INVALID, "share mvm: this tag is the hypervisor's own; choose another"});
  CHECK(refusal("rosetta").status == MVM_ERR_INVALID);
  Spec twice;
  twice.add_share("work", twice.dir());
  twice.add_share("work", twice.dir());
  CHECK(twice.check() == Refusal{MVM_ERR_BUSY, "share work: this tag is in use"});
}

TEST_CASE("a MAC that is none, or a group's, is refused") {
  const auto refusal = [](const std::string& mac) {
    Spec spec;
    spec.v1.mutable_network()->set_enabled(true);
    spec.v1.mutable_network()->set_mac(mac);
    return spec.check();
  };
  CHECK(refusal("52:54:0:12:34:56").status == MVM_ERR_INVALID);
  CHECK(refusal("52-54-00-12-34-56").status == MVM_ERR_INVALID);
  CHECK(refusal("53:54:00:12:34:56") ==
        Refusal{MVM_ERR_INVALID, "network: mac 53:54:00:12:34:56 is a group's address, not a card's"});
}

TEST_CASE("a required feature is unsupported by its name") {
  Spec spec;
  spec.v1.add_required_features("time-travel");
  CHECK(spec.check() ==
        Refusal{MVM_ERR_UNSUPPORTED, "feature \"time-travel\": required, and unknown to apple-vz (MVM-P12)"});
}
