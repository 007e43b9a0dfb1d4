// SPDX-License-Identifier: Apache-2.0
#include "store/vm_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <vector>

#include <dirent.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/parallel.hpp"
#include "store/crash_note.hpp"
#include "store/socket_dir.hpp"
#include "store/vm_index.hpp"

namespace mvm::host {
namespace {

using google::protobuf::Arena;

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

// Of a record or its summary, which said that a runner lives.
template <class Message>
void crash(const VmPaths& files, Message& vm) {
  vm.set_state(std::string(to_string(VmState::crashed)));
  vm.set_last_error(CrashNote::words(files.crash_note(), vm.pid()));
  vm.set_pid(0);
}

// VMs in a directory, by name.
std::vector<VmName> names_in(DIR* vms) {
  std::vector<VmName> names;
  while (const dirent* entry = ::readdir(vms)) {
    // ".", "..", and what isn't ours, are none.
    if (auto name = VmName::parse(entry->d_name)) names.push_back(std::move(*name));
  }
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.str() < b.str(); });
  return names;
}

// Fewer VMs are looked at in the time that it takes to start a thread.
constexpr size_t fewest_for_a_thread = 500;

google::protobuf::ArenaOptions roomy() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = 16 * 1024;
  options.max_block_size = 1024 * 1024;
  return options;
}

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
  if (record.spec().rootfs_mode() == "overlay") summary.set_base(record.spec().rootfs());
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
      damaged.set_last_error(CrashNote::tells_of_death(files.crash_note())
                                 ? CrashNote::words(files.crash_note(), 0)
                                 : "its boot was cut off before it began: boot it again, or rm it");
    } else if (!booting) {
      damaged.set_last_error(record.error().message);
    }
    return damaged;
  }
  const auto state = parse_vm_state(record->state());
  if (!is_active(*state) || VmLock::is_held(files)) return std::move(*record);
  // It may have ended between reading its record and looking at its lock: then the record says so by now.
  if (auto again = read(name); again && !is_active(*parse_vm_state(again->state()))) return std::move(*again);
  crash(files, *record);
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

// One VM as list() finds it.
struct VmStore::Seen {
  pb::VmSummary* summary = nullptr;   // as it is shown; null: there is no such VM any more
  pb::VmIndexEntry* entry = nullptr;  // as the index is to keep it; null: it isn't
  bool made = false;                  // the entry is new
};

Result<VmList> VmStore::list() const {
  const auto vms = home_ / "vms";
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(vms.c_str()));
  if (!dir) {
    if (errno == ENOENT) return VmList();
    return fail(ErrorKind::failed, "{}: {}", vms.string(), errno_words(errno));
  }
  const std::vector<VmName> names = names_in(dir.get());
  auto arena = std::make_unique<Arena>(roomy());
  VmIndex index(home_ / "index", *arena);
  std::vector<Seen> seen(names.size());
  in_parallel(names.size(), fewest_for_a_thread, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) seen[i] = see(index, ::dirfd(dir.get()), names[i], *arena);
  });
  std::vector<pb::VmSummary*> shown;
  std::vector<pb::VmIndexEntry*> kept;
  shown.reserve(seen.size());
  kept.reserve(seen.size());
  size_t made = 0;
  for (const Seen& vm : seen) {
    if (vm.summary != nullptr) shown.push_back(vm.summary);
    if (vm.entry != nullptr) kept.push_back(vm.entry);
    made += vm.made ? 1 : 0;
  }
  index.save(kept, made);
  return VmList(std::move(arena), std::move(shown));
}

VmStore::Seen VmStore::see(const VmIndex& index, int vms, const VmName& name, Arena& arena) const {
  const std::string file = name.str() + "/record.json";
  struct stat s {};
  const bool there = ::fstatat(vms, file.c_str(), &s, 0) == 0;
  pb::VmIndexEntry* const known = there ? index.find(name.str(), s) : nullptr;
  const auto state = known != nullptr ? parse_vm_state(known->summary().state()) : std::nullopt;
  if (state && (!is_active(*state) || VmLock::is_held(vms, name))) return {known->mutable_summary(), known, false};
  if (state && ::fstatat(vms, file.c_str(), &s, 0) == 0 && is_file(*known, s)) {
    // The lock is free, and the record said so before and after: nobody was left to write how it ended.
    auto* const shown = Arena::CreateMessage<pb::VmSummary>(&arena);
    *shown = known->summary();
    crash(paths(name), *shown);
    return {shown, known, false};
  }
  auto record = read(name);
  // A VM that was removed meanwhile is none.
  if (!record && record.error().kind == ErrorKind::not_found && !exists(name)) return {};
  pb::VmIndexEntry* const entry = there && record ? index.make(summary_of(*record), s) : nullptr;
  auto* const shown = Arena::CreateMessage<pb::VmSummary>(&arena);
  *shown = summary_of(look_at(name, std::move(record)));
  return {shown, entry, entry != nullptr};
}

Result<void> VmStore::write(const pb::VmRecord& record, Durability durability) const {
  MVM_TRY(const VmName name, VmName::parse(record.name()));
  return replace_file(paths(name).record(), to_json(record, 2, Unset::omit) + "\n", durability);
}

void VmStore::keep_last_words(const VmName& name) const {
  const VmPaths files = paths(name);
  if (!exists(name) || !CrashNote::tells_of_death(files.crash_note())) return;
  const auto lock = VmLock::acquire(files, std::chrono::milliseconds(0));
  if (!lock) return;
  auto record = read(name);
  // One that says that it runs is shown as crashed, with the same words.
  if (!record || is_active(*parse_vm_state(record->state()))) return;
  record->set_state(std::string(to_string(VmState::failed)));
  record->set_last_error(CrashNote::words(files.crash_note(), 0));
  if (write(*record, Durability::ordered)) ::unlink(files.crash_note().c_str());
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
