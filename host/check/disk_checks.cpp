// SPDX-License-Identifier: Apache-2.0
// Disks that are laid over an image: MVM_FEATURE_DISK_OVERLAY.
#include <algorithm>
#include <filesystem>
#include <string>

#include "check/check.hpp"
#include "check/machine.hpp"
#include "mvm/features.h"

namespace mvm::host::check {
namespace {

bool has_overlays(const Machine& m) {
  const auto& features = m.info().features();
  return std::find(features.begin(), features.end(), MVM_FEATURE_DISK_OVERLAY) != features.end();
}

// A base of a mebibyte, and an overlay that is still empty.
struct Overlay {
  TempDir directory;
  std::filesystem::path base = directory.path() / "base.img";
  std::filesystem::path file = directory.path() / "overlay";
  std::string content = std::string(1 << 20, 'b');

  Overlay() {
    write_file(base, content);
    write_file(file, "");
    std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }

  v1::VmSpec over(v1::VmSpec spec) const {
    auto* disk = spec.add_disks();
    disk->set_path(file.string());
    disk->set_base(base.string());
    disk->set_format(v1::DISK_FORMAT_RAW);
    spec.add_required_features(MVM_FEATURE_DISK_OVERLAY);
    return spec;
  }
};

MVM_PLUGIN_CHECK("an overlay is made at the first boot, kept at the second, and its image stays as it was", "lifecycle",
                 "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("feature " MVM_FEATURE_DISK_OVERLAY, has_overlays(m));
  const Overlay overlay;
  const auto image_time = std::filesystem::last_write_time(overlay.base);
  m.must_boot(overlay.over(m.spec()));
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  const std::string made = read_file(overlay.file);
  MVM_REQUIRE(!made.empty());
  m.must_boot(overlay.over(m.spec()));
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  MVM_EXPECT((read_file(overlay.file) == made));
  MVM_EXPECT((read_file(overlay.base) == overlay.content));
  MVM_EXPECT((std::filesystem::last_write_time(overlay.base) == image_time));
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("an overlay over an image that is not there is refused, and named", "errors", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("feature " MVM_FEATURE_DISK_OVERLAY, has_overlays(m));
  m.must_be_able_to_boot();
  const Overlay overlay;
  std::filesystem::remove(overlay.base);
  const Outcome failed = m.boot(overlay.over(m.spec()));
  MVM_EXPECT((failed.status == MVM_ERR_NOT_FOUND || failed.status == MVM_ERR_INVALID));
  MVM_EXPECT(contains(failed.error, overlay.base.string()));
  MVM_EXPECT(m.list().vms_size() == 0);
}

}  // namespace

void link_disk_checks() {}

}  // namespace mvm::host::check
