// SPDX-License-Identifier: Apache-2.0
#include "overlay.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include "mvm/hypervisor.hpp"

namespace mvm::mock {
namespace {

void make_overlay(const v1::Disk& disk) {
  const std::string wanted = "mock overlay of " + disk.base() + "\n";
  std::ifstream in(disk.path());
  const std::string found{std::istreambuf_iterator<char>(in), {}};
  if (found == wanted) return;
  if (!found.empty()) throw Error(MVM_ERR_INVALID, "disk " + disk.path() + ": is no overlay of " + disk.base());
  std::ofstream out(disk.path());
  if (!(out << wanted << std::flush)) throw Error(MVM_ERR_INTERNAL, "disk " + disk.path() + ": cannot be written");
}

}  // namespace

void make_overlays(const v1::VmSpec& spec) {
  for (const v1::Disk& disk : spec.disks()) {
    if (!disk.base().empty()) make_overlay(disk);
  }
}

}  // namespace mvm::mock
