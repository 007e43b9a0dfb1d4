// SPDX-License-Identifier: Apache-2.0
#include "runner/run_vm.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.hpp"
#include "control/control_client.hpp"
#include "plugin/plugin_trust.hpp"
#include "runner/base_image.hpp"
#include "runner/boot_plan.hpp"
#include "runner/noting_observer.hpp"
#include "runner/runner.hpp"
#include "runner/stray_output.hpp"
#include "store/crash_note.hpp"
#include "store/socket_dir.hpp"

namespace mvm::host {
namespace {

using std::chrono::milliseconds;

// How long to wait for those who only look at the lock.
constexpr milliseconds lock_patience{1000};

// A VM whose runner answers is running: no patience with the lock changes that, nor that its directory was deleted.
bool answers(const VmStore& store, const VmName& name) {
  const auto record = store.read(name);
  if (record && !is_active(*parse_vm_state(record->state()))) return false;
  auto sockets = socket_dir_place(store.home(), name);
  if (record && !record->socket_dir().empty()) sockets = VmSockets{record->socket_dir()};
  return sockets && ControlClient::connect(sockets->control()).has_value();
}

Error already_running(const VmStore& store, const VmName& name) {
  const auto record = store.read(name);
  const bool active = record && is_active(*parse_vm_state(record->state()));
  const std::string state = active ? record->state() : "starting";
  const std::string pid = active && record->pid() != 0 ? formatted(" (runner pid {})", record->pid()) : "";
  return {ErrorKind::failed,
          formatted("{}: is {} already{}: stop it first, or choose another name", name.str(), state, pid)};
}

Result<VmLock> take_lock(const VmStore& store, const VmName& name) {
  if (answers(store, name)) return tl::unexpected(already_running(store, name));
  auto lock = VmLock::acquire(store.paths(name), lock_patience);
  if (!lock && VmLock::is_held(store.paths(name))) return tl::unexpected(already_running(store, name));
  return lock;
}

// What the record remembers; `damaged` when there is one that can't be read and the request says enough to do without.
struct Previous {
  std::optional<pb::VmRecord> record;
  bool damaged = false;
};
Result<Previous> previous_record(const VmStore& store, const VmName& name, const pb::BootRequest& request) {
  auto record = store.read(name);
  if (record) return Previous{std::move(*record)};
  if (record.error().kind == ErrorKind::not_found) return Previous{};
  if (record.error().kind != ErrorKind::invalid) return tl::unexpected(record.error());
  if (request.has().kernel()) return Previous{std::nullopt, true};
  return fail(ErrorKind::failed,
              "{}: boot it with all its options, --kernel at least (the damaged record is then kept as "
              "record.json.damaged), or repair it",
              record.error().message);
}

bool has_disk(const VmPaths& files) {
  std::error_code error;
  return std::filesystem::exists(files.rootfs(), error) || std::filesystem::exists(files.overlay(), error);
}

Result<std::filesystem::path> plugin_file(const pb::VmRecord& record) {
  if (!record.plugin().empty()) return trusted_plugin_file(record.plugin());
  return PluginFinder::standard().find(record.hypervisor());
}

// While the main thread is in a plugin's code for the first time (its constructors, create, info), there is no loop to
// keep deadlines: this thread ends the process when that takes too long, or when nobody waits for the boot any more.
class LoadWatchdog {
 public:
  LoadWatchdog(milliseconds limit, int caller, std::function<void(bool in_time)> expired)
      : expired_(std::move(expired)) {
    if (::pipe(cancel_) != 0) return;  // no descriptors: the load goes unwatched, and soon fails itself
    for (const int fd : cancel_) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    thread_ = std::thread([this, limit, caller] { watch(limit, caller); });
  }
  LoadWatchdog(const LoadWatchdog&) = delete;
  LoadWatchdog& operator=(const LoadWatchdog&) = delete;
  ~LoadWatchdog() {
    if (!thread_.joinable()) return;
    ::close(cancel_[1]);
    thread_.join();
    ::close(cancel_[0]);
  }

 private:
  void watch(milliseconds limit, int caller) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
      const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now()).count();
      // POLLIN, since XNU tells a poll for nothing nothing: the end of either shows as readable.
      pollfd watched[2] = {{cancel_[0], POLLIN, 0}, {caller, POLLIN, 0}};
      const int n = ::poll(watched, 2, static_cast<int>(std::max<int64_t>(left, 0)));
      if (n < 0 && errno == EINTR) continue;
      if (watched[0].revents != 0) return;
      char byte = 0;
      if (n > 0 && ::recv(caller, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
        caller = -1;  // it said something, and is there
        continue;
      }
      return expired_(n > 0);
    }
  }

  std::function<void(bool)> expired_;
  int cancel_[2] = {-1, -1};
  std::thread thread_;
};

// Thousands of connections, whatever a shell's default for interactive programs is.
void raise_descriptor_limit() {
  constexpr rlim_t enough = 65536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return;
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? enough : std::min(enough, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// From an empty process to a runner that is about to boot. `runner` is filled when there is one.
struct Session {
  boost::asio::io_context& loop;
  const VmStore& store;
  const pb::BootRequest& request;
  const RunOptions& options;
  BootReporter& reporter;
  std::unique_ptr<StrayOutput> stray = nullptr;
  std::unique_ptr<Runner> runner = nullptr;
  std::shared_ptr<Runner*> handle = std::make_shared<Runner*>(nullptr);
  std::unique_ptr<PluginHypervisor> plugin = nullptr;
  CrashNote* note = nullptr;
  std::unique_ptr<NotingObserver> observer = nullptr;
  bool made_directory = false;

  Result<void> prepare() {
    MVM_TRY(const VmName name, VmName::parse(request.name()));
    MVM_CHECK(store.prepare());
    MVM_TRY(VmLock lock, take_lock(store, name));
    made_directory = lock.made_directory();
    auto result = prepare_with(name, lock);
    if (!result) clean_up(name);
    return result;
  }

  // A name that has never been booted is not one after a request that could not be.
  void clean_up(const VmName& name) const {
    // Another boot may have come and gone in the directory that this one made.
    const VmPaths files = store.paths(name);
    std::error_code error;
    const bool used = std::filesystem::exists(files.record(), error) || has_disk(files);
    if (made_directory && !used) (void)store.remove(name);
  }

  Result<void> prepare_with(const VmName& name, VmLock& lock) {
    MVM_TRY(const Previous previous, previous_record(store, name, request));
    MVM_TRY(pb::VmRecord record, plan(previous, name));
    const VmPaths files = store.paths(name);
    const RootfsPlan rootfs = plan_rootfs(record, files, request.fresh());
    MVM_CHECK(resolve_plan(*record.mutable_spec(), rootfs, store));
    MVM_CHECK(check_writes_no_base(record, store));
    MVM_CHECK(open_logs(files));
    MVM_TRY(const v1::HypervisorInfo info, load_plugin(name, record));
    if (!options.foreground) {
      MVM_TRY(stray, StrayOutput::capture(loop, files.runner_log()));
    }
    MVM_CHECK(check_plan(record.spec(), rootfs, record.hypervisor(), info));
    MVM_TRY(VmSockets sockets, make_socket_dir(store.home(), name));
    runner = std::make_unique<Runner>(loop,
                                      Runner::Setup{store, name, std::move(lock), std::move(record), sockets, info,
                                                    boot_timeout(request), rootfs, previous.damaged, previous.record},
                                      reporter);
    *handle = runner.get();
    return {};
  }

  Result<pb::VmRecord> plan(const Previous& previous, const VmName& name) const {
    MVM_CHECK(keep_disk(previous, name));
    MVM_TRY(pb::VmRecord record, plan_boot(previous.record, request, options.default_hypervisor));
    // A runner that died left the record of a running VM: what is planned begins where that ended.
    if (is_active(*parse_vm_state(record.state()))) record.set_state(std::string(to_string(VmState::crashed)));
    return record;
  }

  // A damaged record doesn't say which disk was the VM's: booting without one would lose sight of it.
  Result<void> keep_disk(const Previous& previous, const VmName& name) const {
    if (!previous.damaged || request.has().rootfs()) return {};
    if (!has_disk(store.paths(name))) return {};
    return fail(
        ErrorKind::failed,
        "{}: its record is damaged, and it has a disk: say --rootfs with the image it came from (the disk is kept "
        "as it is), or --rootfs \"\" to boot without",
        name.str());
  }

  Result<void> open_logs(const VmPaths& files) {
    MVM_TRY(note, CrashNote::open(files.crash_note()));
    if (!log::to_file(files.runner_log(), options.log_level, options.foreground)) {
      return fail(ErrorKind::failed, "{}: cannot be written", files.runner_log().string());
    }
    if (!options.foreground) {
      MVM_CHECK(StrayOutput::send_to(files.runner_log()));
    }
    return {};
  }

  Result<v1::HypervisorInfo> load_plugin(const VmName& name, pb::VmRecord& record) {
    MVM_TRY(const auto path, plugin_file(record));
    note->set_plugin(path.filename().native());
    const LoadWatchdog watchdog(boot_timeout(request), reporter.caller(), [&](bool in_time) {
      if (!in_time) {
        const std::string where = CrashNote::where(store.paths(name).crash_note());
        reporter.failed({ErrorKind::deadline, formatted("{}: {}: did not return within {} ms (MVM-P15)", path.string(),
                                                        where, boot_timeout(request).count())});
      }
      clean_up(name);
      note->ending();
      ::_exit(static_cast<int>(ErrorKind::deadline));
    });
    note->call_begins("load");
    auto library = PluginLibrary::load(path, record.hypervisor());
    note->call_returned();
    MVM_CHECK(library);
    note->set_plugin((*library)->identity().label());
    record.set_hypervisor((*library)->identity().name);
    const auto state_dir = store.paths(name).plugin_state();
    MVM_CHECK(own_directory(state_dir));
    v1::InstanceConfig config;
    config.set_state_dir(state_dir.string());
    observer = std::make_unique<NotingObserver>(*note);
    MVM_TRY(plugin, PluginHypervisor::create(std::move(*library), config.SerializeAsString(),
                                             Runner::services(loop, handle), observer.get()));
    return plugin->describe();
  }
};

}  // namespace

milliseconds boot_timeout(const pb::BootRequest& request) {
  constexpr milliseconds usual{30'000};
  return request.timeout_ms() != 0 ? milliseconds(request.timeout_ms()) : usual;
}

int run_vm(boost::asio::io_context& loop, const VmStore& store, const pb::BootRequest& request,
           const RunOptions& options, BootReporter& reporter, const std::function<void(StopRunner)>& on_started) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond ulimit -f fails, and ends nobody
  raise_descriptor_limit();
  // Its observer and services are the plugin's until _exit, should the plugin not let go.
  auto& session = *new Session{loop, store, request, options, reporter};
  if (const auto prepared = session.prepare(); !prepared) {
    reporter.failed(prepared.error());
    if (session.note != nullptr) session.note->ending();
    return static_cast<int>(prepared.error().kind);
  }
  on_started([&session] { session.runner->stop(true, milliseconds(0), [] {}); });
  session.runner->start(std::move(session.plugin));
  loop.run();
  if (session.stray) session.stray->drain_now();
  session.note->ending();
  log::flush();
  return session.runner->exit_code();
}

}  // namespace mvm::host
