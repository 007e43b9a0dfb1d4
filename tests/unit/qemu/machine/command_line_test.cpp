// SPDX-License-Identifier: Apache-2.0
#include "machine/command_line.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::qemu;
using nlohmann::json;

namespace {

v1::VmSpec a_spec() {
  v1::VmSpec spec;
  spec.set_name("demo");
  spec.set_kernel("/k/vmlinuz");
  spec.set_cmdline("console=ttyS0 root=/dev/vda, rw");
  spec.set_cpus(3);
  spec.set_memory_bytes(uint64_t{512} << 20);
  return spec;
}

LaunchFacts on(Architecture architecture, Accelerator accelerator = Accelerator::tcg) {
  LaunchFacts facts;
  facts.architecture = architecture;
  facts.accelerator = accelerator;
  facts.program = "/usr/bin/qemu";
  return facts;
}

// The values of one option, in order.
std::vector<std::string> values(const std::vector<std::string>& line, const std::string& option) {
  std::vector<std::string> all;
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    if (line[i] == option) all.push_back(line[i + 1]);
  }
  return all;
}

json device(const std::vector<std::string>& line, const std::string& driver, const std::string& option = "-device") {
  for (const std::string& value : values(line, option)) {
    const json parsed = json::parse(value);
    const json name = parsed.contains("driver") ? parsed["driver"] : parsed["qom-type"];
    if (name == driver) return parsed;
  }
  return {};
}

}  // namespace

TEST_CASE("an x86-64 guest gets a q35 with what it was asked for") {
  v1::VmSpec spec = a_spec();
  spec.set_initrd("/k/initrd");
  const auto line = command_line(spec, on(Architecture::x86_64));
  CHECK(line[0] == "/usr/bin/qemu");
  CHECK_THAT(values(line, "-M").at(0), test::StartsWith("q35,"));
  CHECK(values(line, "-accel") == std::vector<std::string>{"tcg"});
  CHECK(values(line, "-cpu") == std::vector<std::string>{"max"});
  CHECK(values(line, "-smp") == std::vector<std::string>{"3"});
  CHECK(values(line, "-kernel") == std::vector<std::string>{"/k/vmlinuz"});
  CHECK(values(line, "-initrd") == std::vector<std::string>{"/k/initrd"});
  CHECK(values(line, "-append") == std::vector<std::string>{"console=ttyS0 root=/dev/vda, rw"});
  CHECK(values(line, "-m") == std::vector<std::string>{"size=512M"});
  CHECK(values(line, "-netdev").empty());
  CHECK(values(command_line(a_spec(), on(Architecture::x86_64)), "-initrd").empty());
}

TEST_CASE("an arm64 guest gets a virt with the newest interrupt controller") {
  const auto line = command_line(a_spec(), on(Architecture::arm64));
  CHECK(values(line, "-M").at(0) == "virt,gic-version=max,memory-backend=mem0");
  CHECK(values(line, "-cpu").at(0) == "max");
}

TEST_CASE("KVM comes with the host's own processor") {
  for (const Architecture a : {Architecture::x86_64, Architecture::arm64}) {
    const auto line = command_line(a_spec(), on(a, Accelerator::kvm));
    CHECK(values(line, "-accel").at(0) == "kvm");
    CHECK(values(line, "-cpu").at(0) == "host");
  }
}

TEST_CASE("the guest's memory is shared with the devices outside of QEMU, and as large as asked") {
  const auto line = command_line(a_spec(), on(Architecture::x86_64));
  const json memory = device(line, "memory-backend-memfd", "-object");
  CHECK(memory["share"] == true);
  CHECK(memory["size"] == uint64_t{512} << 20);
  CHECK_THAT(values(line, "-M").at(0), test::ContainsSubstring("memory-backend=mem0"));
}

TEST_CASE("disks keep their order, format and access, and commas in their names") {
  v1::VmSpec spec = a_spec();
  v1::Disk* root = spec.add_disks();
  root->set_path("/images/a,b=c \"d\".img");
  root->set_format(v1::DISK_FORMAT_RAW);
  v1::Disk* data = spec.add_disks();
  data->set_path("/dev/loop0");
  data->set_format(v1::DISK_FORMAT_QCOW2);
  data->set_read_only(true);
  LaunchFacts facts = on(Architecture::x86_64);
  facts.block_devices = {false, true};
  const auto line = command_line(spec, facts);
  const auto drives = values(line, "-blockdev");
  REQUIRE(drives.size() == 2);
  const json first = json::parse(drives[0]);
  CHECK(first["node-name"] == "disk0");
  CHECK(first["driver"] == "raw");
  CHECK(first["read-only"] == false);
  CHECK(first["discard"] == "unmap");
  CHECK(first["file"]["driver"] == "file");
  CHECK(first["file"]["filename"] == "/images/a,b=c \"d\".img");
  CHECK(first["file"]["locking"] == "auto");
  CHECK(first["cache"]["direct"] == false);
  const json second = json::parse(drives[1]);
  CHECK(second["driver"] == "qcow2");
  CHECK(second["read-only"] == true);
  CHECK(second["file"]["driver"] == "host_device");
  CHECK(device(line, "virtio-blk-pci")["drive"] == "disk0");
  CHECK(device(line, "virtio-blk-pci")["werror"] == "report");
}

TEST_CASE("an overlay is told which image it lies over, whatever its own header says") {
  v1::VmSpec spec = a_spec();
  v1::Disk* root = spec.add_disks();
  root->set_path("/vm/rootfs.overlay");
  root->set_base("/images/a,b.img");
  root->set_format(v1::DISK_FORMAT_RAW);
  const auto node = json::parse(values(command_line(spec, on(Architecture::x86_64)), "-blockdev").at(0));
  CHECK(node["driver"] == "qcow2");
  CHECK(node["read-only"] == false);
  CHECK(node["file"]["filename"] == "/vm/rootfs.overlay");
  CHECK(node["backing"]["driver"] == "raw");
  CHECK(node["backing"]["read-only"] == true);
  CHECK(node["backing"]["file"]["filename"] == "/images/a,b.img");
  root->set_format(v1::DISK_FORMAT_QCOW2);
  const auto over_qcow2 = json::parse(values(command_line(spec, on(Architecture::x86_64)), "-blockdev").at(0));
  CHECK(over_qcow2["backing"]["driver"] == "qcow2");
}

TEST_CASE("a network is a card with the address that was given") {
  v1::VmSpec spec = a_spec();
  spec.mutable_network()->set_enabled(true);
  spec.mutable_network()->set_mac("52:54:00:12:34:56");
  const auto line = command_line(spec, on(Architecture::x86_64));
  CHECK(values(line, "-netdev") == std::vector<std::string>{"user,id=net0"});
  CHECK(device(line, "virtio-net-pci")["mac"] == "52:54:00:12:34:56");
}

TEST_CASE("every VM has vsock, entropy, balloon, panic device and ports for eight shares") {
  const auto line = command_line(a_spec(), on(Architecture::x86_64));
  CHECK(device(line, "vhost-user-vsock-pci")["chardev"] == "vsock");
  CHECK(device(line, "virtio-rng-pci").is_object());
  CHECK(device(line, "virtio-balloon-pci")["free-page-reporting"] == true);
  CHECK(device(line, "pvpanic-pci").is_object());
  const auto devices = values(line, "-device");
  CHECK(std::count_if(devices.begin(), devices.end(),
                      [](const std::string& d) { return json::parse(d)["driver"] == "pcie-root-port"; }) == 8);
  CHECK(device(line, "pcie-root-port")["id"] == share_port(0));
}

TEST_CASE("QEMU has no socket in any file system, waits for cont, and is in its sandbox") {
  const auto line = command_line(a_spec(), on(Architecture::x86_64));
  CHECK(std::count(line.begin(), line.end(), "-S") == 1);
  for (const std::string& chardev : values(line, "-chardev")) CHECK_THAT(chardev, test::ContainsSubstring(",fd="));
  CHECK(values(line, "-sandbox").at(0) == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

TEST_CASE("without a console of the host's the guest's serial port leads nowhere") {
  LaunchFacts facts = on(Architecture::x86_64);
  facts.console = false;
  const auto line = command_line(a_spec(), facts);
  CHECK(values(line, "-serial") == std::vector<std::string>{"chardev:con"});
  const auto chardevs = values(line, "-chardev");
  CHECK(std::count(chardevs.begin(), chardevs.end(), "null,id=con") == 1);
}

TEST_CASE("a trial boots the kernel alone, and does not wait") {
  const auto line = trial_command_line("/k/vmlinuz", on(Architecture::arm64, Accelerator::kvm));
  CHECK(values(line, "-kernel").at(0) == "/k/vmlinuz");
  CHECK(values(line, "-append").at(0) == "console=ttyAMA0 panic=-1");
  CHECK(values(line, "-device").empty());
  CHECK(values(line, "-mon").empty());
  CHECK(std::count(line.begin(), line.end(), "-S") == 0);
}
