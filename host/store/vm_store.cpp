// SPDX-License-Identifier: Apache-2.0
#include "store/vm_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <dirent.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/json.hpp"
#include "store/crash_note.hpp"
#include "store/socket_dir.hpp"
#include "store/vm_index.hpp"

namespace mvm::host {
namespace {

constexpr uint32_t record_format = 1;
constexpr size_t max_record_bytes = 1024 * 1024;

Result<std::filesystem::path> user_home() {
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') return std::filesystem::path(home);
  if (const passwd* entry = ::getpwuid(::geteuid())) return std::filesystem::path(entry->pw_dir);
  return fail(ErrorKind::failed, "state directory: HOME is not set: say where with --home or MVM_HOME");
}

struct CloseDir {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

}  // namespace

pb::VmSummary summary_of(const pb::VmRecord& record) {
  pb::VmSummary summary;
  summary.set_name(record.name());
  summary.set_hypervisor(record.hypervisor());
  summary.set_state(record.state());
  summary.set_pid(record.pid());
  summary.set_cpus(record.spec().cpus());
  summary.set_memory_bytes(record.spec().memory_bytes());
  summary.set_started_at(record.started_at());
  summary.set_last_error(record.last_error());
  summary.set_exit_reason(record.exit_reason());
  return summary;
}

Result<VmStore> VmStore::at(const std::filesystem::path& chosen) {
  std::filesystem::path home = chosen;
  if (home.empty()) {
    if (const char* set = std::getenv("MVM_HOME"); set != nullptr && set[0] != '\0') home = set;
  }
  if (home.empty()) {
    MVM_TRY(home, user_home());
    home /= ".mvm";
  }
  std::error_code error;
  home = std::filesystem::absolute(home, error).lexically_normal();
  if (error) return fail(ErrorKind::failed, "state directory: {}", error.message());
  if (!home.has_filename()) home = home.parent_path();  // a trailing slash
  return VmStore(home);
}

Result<void> VmStore::prepare() const {
  std::error_code error;
  std::filesystem::create_directories(home_.parent_path(), error);
  MVM_CHECK(own_directory(home_));
  return own_directory(home_ / "vms");
}

bool VmStore::exists(const VmName& name) const {
  struct stat s {};
  return ::lstat(paths(name).directory.c_str(), &s) == 0;
}

Result<pb::VmRecord> VmStore::read(const VmName& name) const {
  const auto path = paths(name).record();
  auto text = read_file(path, max_record_bytes);
  if (!text) {
    if (text.error().kind == ErrorKind::not_found) return fail(ErrorKind::not_found, "{}: no such VM", name.str());
    return tl::unexpected(text.error());
  }
  pb::VmRecord record;
  if (auto parsed = from_json(*text, record); !parsed) {
    return fail(ErrorKind::invalid, "{}: its record is damaged ({}): {}", name.str(), path.string(),
                parsed.error().message);
  }
  if (record.format() > record_format) {
    return fail(ErrorKind::failed, "{}: its record has format {}, this mvmhost knows {}: use a newer mvmhost",
                name.str(), record.format(), record_format);
  }
  if (record.name() != name.str() || !parse_vm_state(record.state())) {
    return fail(ErrorKind::invalid, "{}: its record is damaged ({}): name \"{}\", state \"{}\"", name.str(),
                path.string(), record.name(), record.state());
  }
  return record;
}

pb::VmRecord VmStore::look_at(const VmName& name, Result<pb::VmRecord> record) const {
  const VmPaths files = paths(name);
  if (!record) {
    pb::VmRecord damaged;
    damaged.set_name(name.str());
    const bool booting = VmLock::is_held(files);
    damaged.set_state(std::string(to_string(booting ? VmState::starting : VmState::failed)));
    if (!booting && record.error().kind == ErrorKind::not_found) {
      damaged.set_last_error("its boot was cut off before it began: boot it again, or rm it");
    } else if (!booting) {
      damaged.set_last_error(record.error().message);
    }
    return damaged;
  }
  const auto state = parse_vm_state(record->state());
  if (!is_active(*state) || VmLock::is_held(files)) return std::move(*record);
  // It may have ended between reading its record and looking at its lock: then the record says so by now.
  if (auto again = read(name); again && !is_active(*parse_vm_state(again->state()))) return std::move(*again);
  record->set_state(std::string(to_string(*next_state(*state, VmHappening::crashed))));
  record->set_last_error(CrashNote::words(files.crash_note(), record->pid()));
  record->set_pid(0);
  return std::move(*record);
}

Result<pb::VmRecord> VmStore::look(const VmName& name) const {
  if (!exists(name)) return fail(ErrorKind::not_found, "{}: no such VM", name.str());
  auto record = look_at(name, read(name));
  // A runner takes the lock before it writes what it is about to do.
  if (!is_active(*parse_vm_state(record.state())) && VmLock::is_held(paths(name))) {
    record.set_state(std::string(to_string(VmState::starting)));
  }
  return record;
}

Result<std::vector<pb::VmSummary>> VmStore::list() const {
  const auto vms = home_ / "vms";
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(vms.c_str()));
  std::vector<pb::VmSummary> all;
  if (!dir) {
    if (errno == ENOENT) return all;
    return fail(ErrorKind::failed, "{}: {}", vms.string(), errno_words(errno));
  }
  VmIndex index(home_ / "index");
  while (const dirent* entry = ::readdir(dir.get())) {
    const auto name = VmName::parse(entry->d_name);
    if (!name) continue;  // ".", "..", and what isn't ours
    if (auto summary = summary_in(index, ::dirfd(dir.get()), *name)) all.push_back(std::move(*summary));
  }
  index.save();
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return all;
}

std::optional<pb::VmSummary> VmStore::summary_in(VmIndex& index, int vms, const VmName& name) const {
  struct stat s {};
  const bool there = ::fstatat(vms, (name.str() + "/record.json").c_str(), &s, 0) == 0;
  if (there) {
    auto known = index.find(name.str(), s);
    const auto state = known ? parse_vm_state(known->state()) : std::nullopt;
    if (state && (!is_active(*state) || VmLock::is_held(paths(name)))) return known;
  }
  auto record = read(name);
  // A VM that was removed meanwhile is none.
  if (!record && record.error().kind == ErrorKind::not_found && !exists(name)) return std::nullopt;
  if (there && record) index.keep(summary_of(*record), s);
  return summary_of(look_at(name, std::move(record)));
}

Result<void> VmStore::write(const pb::VmRecord& record) const {
  MVM_TRY(const VmName name, VmName::parse(record.name()));
  return replace_file(paths(name).record(), to_json(record, 2, Unset::omit) + "\n", true);
}

Result<void> VmStore::set_damaged_record_aside(const VmName& name) const {
  const auto path = paths(name).record();
  if (::rename(path.c_str(), (path.string() + ".damaged").c_str()) == 0 || errno == ENOENT) return {};
  return fail(ErrorKind::failed, "{}: cannot be set aside: {}", path.string(), errno_words(errno));
}

Result<void> VmStore::remove(const VmName& name) const {
  const VmPaths files = paths(name);
  std::error_code error;
  const auto record = read(name);
  auto sockets = socket_dir_place(home_, name);
  if (record && !record->socket_dir().empty()) sockets = VmSockets{record->socket_dir()};
  if (sockets) {
    std::filesystem::remove(sockets->control(), error);
    std::filesystem::remove(sockets->vsock(), error);
    std::filesystem::remove(sockets->directory, error);  // only if nothing else is in it
  }
  // The record first: whatever happens after it, no half of a VM can be taken for a whole one. The lock last.
  std::filesystem::remove(files.record(), error);
  if (error) return fail(ErrorKind::failed, "{}: cannot be removed: {}", files.record().string(), error.message());
  for (const auto& entry : std::filesystem::directory_iterator(files.directory, error)) {
    if (entry.path() == files.lock()) continue;
    std::error_code removing;
    std::filesystem::remove_all(entry.path(), removing);
    if (removing) {
      return fail(ErrorKind::failed, "{}: cannot be removed: {}", entry.path().string(), removing.message());
    }
  }
  std::filesystem::remove(files.lock(), error);
  std::filesystem::remove(files.directory, error);
  if (error) return fail(ErrorKind::failed, "{}: cannot be removed: {}", files.directory.string(), error.message());
  return {};
}

}  // namespace mvm::host
