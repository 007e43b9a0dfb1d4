// SPDX-License-Identifier: Apache-2.0
#include "runner/boot_plan.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>
#include <system_error>

#include <pwd.h>
#include <unistd.h>

#include "base/parse.hpp"
#include "base/time.hpp"
#include "disk/disk_file.hpp"
#include "disk/kernel_format.hpp"
#include "mvm/features.h"

namespace mvm::host {
namespace {

constexpr uint32_t default_cpus = 2;
constexpr uint64_t mebibyte = 1024 * 1024;
constexpr uint64_t default_memory_bytes = 512 * mebibyte;
constexpr size_t max_tag_bytes = 35;        // virtio-fs: 36 with the terminator
constexpr size_t max_cmdline_bytes = 2048;  // the smallest of the architectures' COMMAND_LINE_SIZE

std::string random_mac() {
  std::random_device random;
  const auto byte = [&] { return static_cast<unsigned>(random() & 0xff); };
  // x2: locally administered, one station.
  return formatted("52:54:{:02x}:{:02x}:{:02x}:{:02x}", byte(), byte(), byte(), byte());
}

// Options that were given replace the recorded ones, whole.
void take_given(pb::VmConfig& config, const pb::VmConfig& given, const pb::GivenOptions& has) {
  if (has.kernel()) config.set_kernel(given.kernel());
  if (has.initrd()) config.set_initrd(given.initrd());
  if (has.cmdline()) config.set_cmdline(given.cmdline());
  if (has.rootfs()) {
    config.set_rootfs(given.rootfs());
    config.clear_rootfs_format();
  }
  if (has.rootfs_mode()) config.set_rootfs_mode(given.rootfs_mode());
  if (has.disks()) *config.mutable_disks() = given.disks();
  if (has.cpus()) config.set_cpus(given.cpus());
  if (has.memory()) config.set_memory_bytes(given.memory_bytes());
  if (has.shares()) *config.mutable_shares() = given.shares();
  if (has.published_ports()) *config.mutable_published_ports() = given.published_ports();
  if (has.pty()) config.set_pty(given.pty());
  if (has.detach()) config.set_detach(given.detach());
  if (has.options()) *config.mutable_options() = given.options();
}

Result<std::string> choose_hypervisor(const std::optional<pb::VmRecord>& previous, const pb::BootRequest& request,
                                      const std::string& fallback) {
  const bool recorded = previous && !previous->hypervisor().empty();
  if (recorded && !request.fresh()) {
    if (!request.hypervisor().empty() && request.hypervisor() != previous->hypervisor()) {
      return fail(ErrorKind::invalid,
                  "{}: was made with hypervisor {}, not {}: leave --hypervisor out, or begin anew with --fresh",
                  request.name(), previous->hypervisor(), request.hypervisor());
    }
    return previous->hypervisor();
  }
  if (!request.hypervisor().empty()) return request.hypervisor();
  if (!request.plugin().empty()) return std::string();  // the plugin says who it is
  if (recorded) return previous->hypervisor();
  if (!fallback.empty()) return fallback;
  return fail(
      ErrorKind::invalid,
      "{}: no hypervisor was chosen: say --hypervisor NAME (or set MVM_HYPERVISOR); `mvmhost plugins` lists them",
      request.name());
}

Result<void> check_same_disk(const pb::VmRecord& previous, const pb::BootRequest& request) {
  // Nothing was written to a disk that is yet to be made.
  if (request.fresh() || previous.disk_pending()) return {};
  const auto& had = previous.spec();
  // One that has none yet may be given one.
  const bool other_image = !had.rootfs().empty() && request.has().rootfs() && request.given().rootfs() != had.rootfs();
  const bool other_mode =
      !had.rootfs().empty() && request.has().rootfs_mode() && request.given().rootfs_mode() != had.rootfs_mode();
  if (!other_image && !other_mode) return {};
  return fail(ErrorKind::invalid,
              "{}: has a rootfs ({} of {}): another one takes --fresh, which discards what the VM wrote to its own",
              request.name(), had.rootfs_mode(), had.rootfs());
}

void put_defaults(pb::VmConfig& config) {
  if (config.cpus() == 0) config.set_cpus(default_cpus);
  if (config.memory_bytes() == 0) config.set_memory_bytes(default_memory_bytes);
  if (config.rootfs_mode().empty()) config.set_rootfs_mode("clone");
  if (config.mac().empty()) config.set_mac(random_mac());
}

// ---- shares ---------------------------------------------------------------------------------------------------

// Whether `inner` is `outer` or in it.
bool is_within(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  const auto [rest, end] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  (void)end;
  return rest == outer.end();
}

std::filesystem::path resolved(const std::filesystem::path& path) {
  std::error_code error;
  auto canonical = std::filesystem::weakly_canonical(path, error);
  return error ? path : canonical;
}

Result<void> check_share_place(const std::filesystem::path& path, const VmStore& store) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "share {}: {}: share a directory below it", path.string(), why);
  };
  if (path == path.root_path()) return refuse("is the whole file system");
  std::vector<std::filesystem::path> homes;
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') homes.push_back(resolved(home));
  // Services often run without HOME.
  if (const passwd* entry = ::getpwuid(::geteuid())) homes.push_back(resolved(entry->pw_dir));
  for (const auto& user : homes) {
    if (user == user.root_path()) continue;
    if (path == user) return refuse("is your home directory");
    if (is_within(user, path)) return refuse("contains your home directory");
  }
  const auto state = resolved(store.home());
  if (is_within(path, state)) {
    return fail(ErrorKind::invalid, "share {}: is in the state directory {}: share another directory", path.string(),
                state.string());
  }
  if (is_within(state, path)) return refuse("contains the state directory");
  return {};
}

Result<void> check_tag(const v1::Share& share) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; };
  if (share.tag().empty() || !std::all_of(share.tag().begin(), share.tag().end(), plain)) {
    return fail(ErrorKind::invalid, "share {}: its tag \"{}\" is not of [A-Za-z0-9._-]: give it another (DIR:TAG)",
                share.path(), share.tag());
  }
  if (share.tag().size() > max_tag_bytes) {
    return fail(ErrorKind::invalid,
                "share {}: its tag \"{}\" has {} bytes, {} are the most: give it a shorter one (DIR:TAG)", share.path(),
                share.tag(), share.tag().size(), max_tag_bytes);
  }
  return {};
}

Result<void> resolve_shares(pb::VmConfig& config, const VmStore& store) {
  std::set<std::string> tags;
  for (auto& share : *config.mutable_shares()) {
    MVM_CHECK(resolve_share(share, store));
    if (!tags.insert(share.tag()).second) {
      return fail(ErrorKind::invalid, "share {}: its tag \"{}\" is taken by another share: give it its own (DIR:TAG)",
                  share.path(), share.tag());
    }
  }
  return {};
}

// ---- ports, disks ------------------------------------------------------------------------------------------------

Result<void> check_ports(const pb::VmConfig& config) {
  std::set<std::pair<std::string, uint32_t>> taken;
  for (const auto& port : config.published_ports()) {
    if (taken.emplace(port.address(), port.host_port()).second) continue;
    return fail(ErrorKind::invalid, "--publish {}:{}: is given twice: publish each host port once",
                host_end_text(port.address(), port.host_port()), port.guest_port());
  }
  return {};
}

// What is read of the rootfs now: the VM's own clone, or else the image that the user named.
std::filesystem::path present_rootfs(const pb::VmConfig& config, const RootfsPlan& rootfs) {
  return rootfs.is_new || !rootfs.base.empty() ? std::filesystem::path(config.rootfs()) : rootfs.file;
}

Result<void> resolve_disks(pb::VmConfig& config, const RootfsPlan& rootfs) {
  for (auto& disk : *config.mutable_disks()) {
    MVM_CHECK(check_disk(disk.path(), !disk.read_only()));
    if (disk.format() != v1::DISK_FORMAT_UNSPECIFIED) continue;  // remembered
    MVM_TRY(const v1::DiskFormat format, format_by_name(disk.path()));
    disk.set_format(format);
  }
  if (rootfs.file.empty()) return {};
  const auto present = present_rootfs(config, rootfs);
  MVM_CHECK(check_disk(present, config.rootfs_mode() != "readonly" && present == rootfs.file));
  if (config.rootfs_format() != v1::DISK_FORMAT_UNSPECIFIED) return {};
  MVM_TRY(const v1::DiskFormat format, format_by_name(config.rootfs()));
  config.set_rootfs_format(format);
  return {};
}

Result<void> check_initrd(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return fail(ErrorKind::invalid, "initrd {}: no such file", path);
  if (!std::filesystem::is_regular_file(status)) return fail(ErrorKind::invalid, "initrd {}: is not a file", path);
  if (std::filesystem::file_size(path, error) == 0) return fail(ErrorKind::invalid, "initrd {}: is empty", path);
  return {};
}

}  // namespace

Result<pb::VmRecord> plan_boot(const std::optional<pb::VmRecord>& previous, const pb::BootRequest& request,
                               const std::string& default_hypervisor) {
  pb::VmRecord record;
  if (previous) {
    MVM_CHECK(check_same_disk(*previous, request));
    record = *previous;
  } else {
    record.set_created_at(now_rfc3339());
    record.set_state(std::string(to_string(VmState::stopped)));
  }
  record.set_format(1);
  record.set_name(request.name());
  MVM_TRY(const std::string hypervisor, choose_hypervisor(previous, request, default_hypervisor));
  if (hypervisor != record.hypervisor()) {
    record.clear_plugin();
    record.mutable_spec()->clear_options();  // they were the other one's
  }
  record.set_hypervisor(hypervisor);
  if (!request.plugin().empty()) record.set_plugin(request.plugin());
  take_given(*record.mutable_spec(), request.given(), request.has());
  put_defaults(*record.mutable_spec());
  if (record.spec().kernel().empty()) {
    return fail(ErrorKind::invalid, "{}: has no kernel: say which with --kernel FILE", request.name());
  }
  return record;
}

Result<void> resolve_share(v1::Share& share, const VmStore& store) {
  std::error_code error;
  const auto path = std::filesystem::canonical(share.path(), error);
  if (error) return fail(ErrorKind::invalid, "share {}: {}", share.path(), error.message());
  if (!std::filesystem::is_directory(path, error)) {
    return fail(ErrorKind::invalid, "share {}: is not a directory", share.path());
  }
  MVM_CHECK(check_share_place(path, store));
  share.set_path(path.string());
  if (share.tag().empty()) share.set_tag(path.filename().string());
  return check_tag(share);
}

RootfsPlan plan_rootfs(const pb::VmRecord& record, const VmPaths& paths, bool fresh) {
  const auto& spec = record.spec();
  const bool is_clone = !spec.rootfs().empty() && spec.rootfs_mode() == "clone";
  const bool is_overlay = !spec.rootfs().empty() && spec.rootfs_mode() == "overlay";
  RootfsPlan plan;
  plan.file = is_clone ? paths.rootfs() : is_overlay ? paths.overlay() : std::filesystem::path(spec.rootfs());
  if (is_overlay) plan.base = spec.rootfs();
  std::error_code error;
  // An overlay is empty until the hypervisor has made it.
  const auto size_bytes = std::filesystem::file_size(plan.file, error);
  const bool have = !error && size_bytes > 0 && !record.disk_pending();
  plan.is_new = (is_clone || is_overlay) && (fresh || !have);
  for (const auto& own : {paths.rootfs(), paths.overlay()}) {
    const bool used = own == plan.file || own == spec.rootfs();
    // Only when asked for: beside a damaged record there may lie a disk that nobody has discarded.
    if (fresh && !used && std::filesystem::exists(own, error)) plan.left_behind.push_back(own);
  }
  return plan;
}

Result<void> resolve_plan(pb::VmConfig& config, const RootfsPlan& rootfs, const VmStore& store) {
  if (!config.initrd().empty()) MVM_CHECK(check_initrd(config.initrd()));
  if (config.cmdline().size() > max_cmdline_bytes) {
    return fail(ErrorKind::invalid, "--cmdline: has {} bytes, {} are the most that kernels read",
                config.cmdline().size(), max_cmdline_bytes);
  }
  if (config.memory_bytes() % mebibyte != 0) {
    return fail(ErrorKind::invalid, "--memory {}: is not a whole number of MiB", config.memory_bytes());
  }
  MVM_CHECK(resolve_disks(config, rootfs));
  MVM_CHECK(resolve_shares(config, store));
  return check_ports(config);
}

static bool knows_feature(const v1::HypervisorInfo& info, std::string_view feature) {
  return std::find(info.features().begin(), info.features().end(), feature) != info.features().end();
}

Result<void> check_plan(const pb::VmConfig& config, const RootfsPlan& rootfs, const std::string& hypervisor,
                        const v1::HypervisorInfo& info) {
  MVM_TRY(const KernelFile kernel, read_kernel(config.kernel()));
  MVM_CHECK(check_kernel(config.kernel(), kernel, hypervisor, info));
  if (info.max_cpus() != 0 && config.cpus() > info.max_cpus()) {
    return fail(ErrorKind::invalid, "--cpus {}: {} has {} at most", config.cpus(), hypervisor, info.max_cpus());
  }
  if (config.memory_bytes() < info.min_memory_bytes()) {
    return fail(ErrorKind::invalid, "--memory {}: {} needs {} at least", format_size(config.memory_bytes()), hypervisor,
                format_size(info.min_memory_bytes()));
  }
  if (info.max_memory_bytes() != 0 && config.memory_bytes() > info.max_memory_bytes()) {
    return fail(ErrorKind::invalid, "--memory {}: {} has {} at most", format_size(config.memory_bytes()), hypervisor,
                format_size(info.max_memory_bytes()));
  }
  if (config.shares_size() > 0 && !info.share_dir_at_boot()) {
    return fail(ErrorKind::unsupported, "--share: {} cannot share directories", hypervisor);
  }
  if (info.max_shares() != 0 && static_cast<uint32_t>(config.shares_size()) > info.max_shares()) {
    return fail(ErrorKind::invalid, "--share: {} shares, {} takes {} at most", config.shares_size(), hypervisor,
                info.max_shares());
  }
  if (!rootfs.base.empty() && !knows_feature(info, MVM_FEATURE_DISK_OVERLAY)) {
    return fail(ErrorKind::unsupported,
                "--rootfs-mode overlay: {} cannot lay a disk over an image: use clone, or readonly", hypervisor);
  }
  if (config.published_ports_size() > 0 && !info.vsock()) {
    return fail(ErrorKind::unsupported, "--publish: {} has no vsock to reach the guest by", hypervisor);
  }
  const auto takes = [&](const std::filesystem::path& path, v1::DiskFormat format) -> Result<void> {
    const auto& formats = info.disk_formats();
    if (std::find(formats.begin(), formats.end(), format) != formats.end()) return {};
    return fail(ErrorKind::unsupported, "disk {}: {} does not take its format", path.string(), hypervisor);
  };
  for (const auto& disk : config.disks()) MVM_CHECK(takes(disk.path(), disk.format()));
  if (!rootfs.file.empty()) MVM_CHECK(takes(present_rootfs(config, rootfs), config.rootfs_format()));
  if (config.pty() && !info.console_input()) {
    return fail(ErrorKind::unsupported, "--console-pty: {} takes no input at the console", hypervisor);
  }
  return {};
}

namespace {

std::string default_cmdline(const std::string& console_device, bool has_rootfs, bool read_only) {
  const std::string console = "console=" + (console_device.empty() ? "hvc0" : console_device);
  return has_rootfs ? formatted("{} root=/dev/vda {} init=/init", console, read_only ? "ro" : "rw") : console;
}

}  // namespace

v1::VmSpec make_spec(const pb::VmRecord& record, const RootfsPlan& rootfs, const v1::HypervisorInfo& info) {
  const pb::VmConfig& config = record.spec();
  const bool read_only = config.rootfs_mode() == "readonly";
  v1::VmSpec spec;
  spec.set_name(record.name());
  spec.set_kernel(config.kernel());
  spec.set_initrd(config.initrd());
  spec.set_cmdline(config.cmdline().empty() ? default_cmdline(info.console_device(), !rootfs.file.empty(), read_only)
                                            : config.cmdline());
  if (!rootfs.file.empty()) {
    auto* disk = spec.add_disks();
    disk->set_path(rootfs.file.string());
    disk->set_read_only(read_only);
    disk->set_format(config.rootfs_format());
    disk->set_base(rootfs.base.string());
  }
  if (!rootfs.base.empty()) spec.add_required_features(MVM_FEATURE_DISK_OVERLAY);
  spec.mutable_disks()->MergeFrom(config.disks());
  spec.set_cpus(config.cpus());
  spec.set_memory_bytes(config.memory_bytes());
  *spec.mutable_shares() = config.shares();
  spec.mutable_network()->set_enabled(true);
  spec.mutable_network()->set_mac(config.mac());
  *spec.mutable_options() = config.options();
  return spec;
}

}  // namespace mvm::host
