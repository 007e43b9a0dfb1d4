// SPDX-License-Identifier: Apache-2.0
#include "make_plan.hpp"

#include "bridge/host_system.hpp"
#include "identity.hpp"
#include "mvm/hypervisor.hpp"
#include "options.hpp"
#include "spec_check.hpp"

namespace mvm::apple_vz {
namespace {

void check_system() {
  if (virtualization_is_supported()) return;
  throw Error(MVM_ERR_UNSUPPORTED,
              "apple-vz: this Mac, or the virtual machine that it is, has no virtualization "
              "(VZVirtualMachine.isSupported)");
}

void check_nested() {
  switch (nested_availability()) {
    case Availability::available:
      return;
    case Availability::too_old:
      throw Error(MVM_ERR_UNSUPPORTED, "option nested: virtual machines in a guest take macOS 15");
    default:
      throw Error(MVM_ERR_UNSUPPORTED, "option nested: virtual machines in a guest take an M3 or a later processor");
  }
}

void check_rosetta() {
  switch (rosetta_availability()) {
    case Availability::available:
      return;
    case Availability::too_old:
      throw Error(MVM_ERR_UNSUPPORTED, "option rosetta: Rosetta for Linux guests takes macOS 13");
    case Availability::not_installed:
      throw Error(MVM_ERR_UNSUPPORTED,
                  "option rosetta: Rosetta is not installed; install it: softwareupdate --install-rosetta");
    default:
      throw Error(MVM_ERR_UNSUPPORTED, "option rosetta: Rosetta for Linux guests takes Apple silicon");
  }
}

std::vector<DiskPlan> disks_of(const v1::VmSpec& spec, const Options& options) {
  std::vector<DiskPlan> disks;
  for (const v1::Disk& disk : spec.disks()) disks.push_back({disk.path(), disk.read_only()});
  apply(options, disks);
  return disks;
}

std::string mac_of(const v1::VmSpec& spec, const std::string& state_dir) {
  if (!spec.network().enabled()) return {};
  return spec.network().mac().empty() ? derived_mac(state_dir, spec.name()) : spec.network().mac();
}

}  // namespace

MachinePlan make_plan(const v1::VmSpec& spec, const std::string& state_dir) {
  const Options options = parse_options(spec.options());
  check_spec(spec, framework_limits());
  check_system();
  if (options.nested) check_nested();
  if (options.rosetta) check_rosetta();
  MachinePlan plan;
  plan.kernel = spec.kernel();
  plan.initrd = spec.initrd();
  plan.cmdline = spec.cmdline();
  plan.cpus = spec.cpus();
  plan.memory_bytes = spec.memory_bytes();
  plan.disks = disks_of(spec, options);
  for (const v1::Share& share : spec.shares()) {
    plan.directories.push_back({share.tag(), share.path(), share.read_only()});
  }
  plan.live_tag = live_tag;
  plan.mac = mac_of(spec, state_dir);
  plan.machine_identifier = machine_identifier(state_dir, spec.name());
  plan.nested = options.nested;
  if (options.rosetta) plan.rosetta_tag = rosetta_tag;
  return plan;
}

}  // namespace mvm::apple_vz
