// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace mvm::qemu {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

void add(Arguments& arguments, std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
}

// QEMU's JSON syntax: a comma in a file's name is a comma. (-device: QEMU 6.2; -object: 6.0.)
void add_json(Arguments& arguments, const char* option, const json& value) {
  add(arguments, {option, value.dump(-1, ' ', false, json::error_handler_t::replace)});
}

std::string machine(const LaunchFacts& facts) {
  // max: the newest interrupt controller that the accelerator has.
  if (facts.architecture == Architecture::arm64) return "virt,gic-version=max,memory-backend=mem0";
  // What a guest with virtio has no use for takes the firmware and the kernel time to find.
  return "q35,usb=off,smbus=off,sata=off,vmport=off,smm=off,graphics=off,memory-backend=mem0";
}

// What every machine of ours begins with. The memory is shared so that vsock and shares, which are devices outside of
// QEMU, see it; without that the guest boots, and they are silently dead.
Arguments base(const LaunchFacts& facts, uint32_t cpus, uint64_t memory_bytes) {
  Arguments all{facts.program,     "-M",       machine(facts), "-accel",    name_of(facts.accelerator), "-nodefaults",
                "-no-user-config", "-display", "none",         "-no-reboot"};
  add(all, {"-cpu", facts.accelerator == Accelerator::kvm ? "host" : "max"});
  add(all, {"-smp", std::to_string(cpus), "-m", "size=" + std::to_string(memory_bytes >> 20) + "M"});
  add_json(all, "-object",
           {{"qom-type", "memory-backend-memfd"}, {"id", "mem0"}, {"size", memory_bytes >> 20 << 20}, {"share", true}});
  add(all, {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  return all;
}

void add_kernel(Arguments& all, const v1::VmSpec& spec) {
  add(all, {"-kernel", spec.kernel()});
  if (!spec.initrd().empty()) add(all, {"-initrd", spec.initrd()});
  if (!spec.cmdline().empty()) add(all, {"-append", spec.cmdline()});
}

std::string socket_of(const char* id, int descriptor) {
  return std::string("socket,id=") + id + ",fd=" + std::to_string(descriptor);
}

void add_control(Arguments& all) {
  add(all, {"-chardev", socket_of("qmp", qmp_descriptor), "-mon", "chardev=qmp,mode=control"});
}

void add_console(Arguments& all, const LaunchFacts& facts) {
  // A null console still answers as a serial port, which the kernel's command line names.
  add(all, {"-chardev", facts.console ? socket_of("con", console_descriptor) : "null,id=con"});
  add(all, {"-serial", "chardev:con"});
}

const char* driver_of(v1::DiskFormat format) { return format == v1::DISK_FORMAT_QCOW2 ? "qcow2" : "raw"; }

// locking: QEMU's own locks keep two of them off one image. discard: what the guest trims is given back.
json image_file(const std::string& path, bool block_device) {
  json file{{"driver", block_device ? "host_device" : "file"}, {"filename", path}, {"discard", "unmap"}};
  if (!block_device) file["locking"] = "auto";
  return file;
}

void add_disk(Arguments& all, const v1::Disk& disk, size_t n, bool block_device) {
  const std::string name = "disk" + std::to_string(n);
  json node{{"node-name", name},
            {"driver", driver_of(disk.format())},
            {"read-only", disk.read_only()},
            {"discard", "unmap"},
            {"cache", {{"direct", false}, {"no-flush", false}}},
            {"file", image_file(disk.path(), block_device)}};
  if (!disk.base().empty()) {
    node["driver"] = "qcow2";
    // Said here, and not left to what the overlay's header says.
    node["backing"] = {
        {"driver", driver_of(disk.format())}, {"read-only", true}, {"file", image_file(disk.base(), false)}};
  }
  add_json(all, "-blockdev", node);
  // report: by default a full disk of the host's stops the whole guest, until somebody says `cont`.
  add_json(all, "-device",
           {{"driver", "virtio-blk-pci"},
            {"drive", name},
            {"id", "vd" + std::to_string(n)},
            {"werror", "report"},
            {"rerror", "report"}});
}

void add_network(Arguments& all, const v1::Network& network) {
  if (!network.enabled()) return;
  add(all, {"-netdev", "user,id=net0"});
  // No romfile: nobody boots from the network here, and the firmware would look at it.
  json card{{"driver", "virtio-net-pci"}, {"netdev", "net0"}, {"id", "eth0"}, {"romfile", ""}};
  if (!network.mac().empty()) card["mac"] = network.mac();
  add_json(all, "-device", card);
}

void add_vsock(Arguments& all) {
  add(all, {"-chardev", socket_of("vsock", vsock_descriptor)});
  add_json(all, "-device", {{"driver", "vhost-user-vsock-pci"}, {"id", "vsock0"}, {"chardev", "vsock"}});
}

void add_small_devices(Arguments& all) {
  add_json(all, "-device", {{"driver", "virtio-rng-pci"}, {"id", "rng0"}});
  add_json(all, "-device", {{"driver", "virtio-balloon-pci"}, {"id", "balloon0"}, {"free-page-reporting", true}});
  add_json(all, "-device", {{"driver", "pvpanic-pci"}, {"id", "panic0"}});
}

// Eight functions of one slot of the root bus. No I/O ports are set aside for what will be plugged in: virtio needs
// none, and eight windows of 4 KiB are more than q35 has.
void add_share_ports(Arguments& all) {
  for (size_t n = 0; n < max_shares; ++n) {
    add_json(all, "-device",
             {{"driver", "pcie-root-port"},
              {"id", share_port(n)},
              {"bus", "pcie.0"},
              {"addr", "1e." + std::to_string(n)},
              {"multifunction", true},
              {"chassis", n + 1},
              {"port", n},
              {"io-reserve", 0}});
  }
}

}  // namespace

std::string share_port(size_t n) { return "share" + std::to_string(n); }

Arguments command_line(const v1::VmSpec& spec, const LaunchFacts& facts) {
  Arguments all = base(facts, spec.cpus(), spec.memory_bytes());
  add(all, {"-name", "guest=" + spec.name(), "-S"});
  add_kernel(all, spec);
  add_control(all);
  add_console(all, facts);
  for (int n = 0; n < spec.disks_size(); ++n) {
    const auto index = static_cast<size_t>(n);
    add_disk(all, spec.disks(n), index, index < facts.block_devices.size() && facts.block_devices[index]);
  }
  add_network(all, spec.network());
  add_vsock(all);
  add_small_devices(all);
  add_share_ports(all);
  return all;
}

Arguments trial_command_line(const std::string& kernel, const LaunchFacts& facts) {
  constexpr uint64_t memory_bytes = uint64_t{256} << 20;
  Arguments all = base(facts, 1, memory_bytes);
  add(all, {"-name", "guest=trial", "-kernel", kernel});
  add(all, {"-append", "console=" + std::string(console_device(facts.architecture)) + " panic=-1"});
  add_console(all, facts);
  return all;
}

}  // namespace mvm::qemu
