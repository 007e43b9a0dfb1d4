// SPDX-License-Identifier: Apache-2.0
#include "runner/runner.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "base/descriptors.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/parse.hpp"
#include "base/process.hpp"
#include "base/time.hpp"
#include "disk/disk_copy.hpp"
#include "disk/disk_file.hpp"
#include "forward/guest_dialer.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "runner/base_image.hpp"

namespace mvm::host {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds default_grace = 30s;
// What a plugin may take beyond the time that a request gives it, and for what should be quick.
constexpr milliseconds slack = 5s;
constexpr milliseconds force_limit = 10s;
constexpr milliseconds share_limit = 15s;
constexpr milliseconds look_limit = 2s;

pb::ControlReply done_reply() {
  pb::ControlReply reply;
  reply.mutable_done();
  return reply;
}

pb::ControlReply failure_reply(const Error& error) {
  pb::ControlReply reply;
  reply.mutable_failure()->set_exit_code(static_cast<int>(error.kind));
  reply.mutable_failure()->set_message(error.message);
  return reply;
}

template <class T>
void answer(const ControlServer::Reply& reply, const Result<T>& result) {
  reply(result ? done_reply() : failure_reply(result.error()), UniqueFd());
}

// The one that is published at the same host end; end() where there is none.
template <class Ports>
auto find_published(Ports& ports, const pb::PublishedPort& wanted) {
  return std::find_if(ports.begin(), ports.end(), [&](const pb::PublishedPort& port) {
    return port.address() == wanted.address() && port.host_port() == wanted.host_port();
  });
}

std::string_view exit_reason_name(v1::ExitReason reason) {
  switch (reason) {
    case v1::EXIT_REASON_GUEST_SHUTDOWN:
      return "guest-shutdown";
    case v1::EXIT_REASON_GUEST_RESET:
      return "guest-reset";
    case v1::EXIT_REASON_GUEST_PANIC:
      return "guest-panic";
    case v1::EXIT_REASON_HOST_STOP:
      return "host-stop";
    case v1::EXIT_REASON_KILLED:
      return "killed";
    case v1::EXIT_REASON_ERROR:
      return "error";
    default:
      return "unknown";
  }
}

// A record without what is of one boot.
std::string for_next_boot(pb::VmRecord record) {
  record.clear_state();
  record.clear_pid();
  record.clear_pid_started();
  record.clear_plugin_version();
  record.clear_started_at();
  record.clear_ended_at();
  record.clear_last_error();
  record.clear_exit_reason();
  record.clear_hypervisor_pid();
  record.clear_guest_address();
  record.clear_console_pty();
  // Maps in one order, or the same options would differ.
  return to_json(record, 0, Unset::omit);
}

}  // namespace

HostServices Runner::services(boost::asio::io_context& loop, std::weak_ptr<Runner*> runner) {
  HostServices services;
  services.log_enabled = [](int32_t level) { return log::enabled(static_cast<log::Level>(level)); };
  services.log = [](int32_t level, std::string_view message) {
    const int clamped = std::clamp(level, MVM_LOG_TRACE, MVM_LOG_ERROR);
    log::write(static_cast<log::Level>(clamped), formatted("plugin: {}", message));
  };
  // A guest that says much is no reason to hold up the loop: of those that wait, this many, and every end of a VM.
  constexpr int most_waiting = 64;
  const auto waiting = std::make_shared<std::atomic<int>>(0);
  services.event = [&loop, runner, waiting](v1::VmEvent event) {
    if (waiting->fetch_add(1) >= most_waiting && !event.has_exited()) {
      waiting->fetch_sub(1);
      return;
    }
    boost::asio::post(loop, [runner, waiting, event = std::move(event)] {
      waiting->fetch_sub(1);
      if (const auto alive = runner.lock()) (*alive)->on_event(event);
    });
  };
  services.console_open = [&loop, runner](std::string_view) -> Result<UniqueFd> {
    auto [ours, theirs] = socket_pair();
    if (!ours) return fail(ErrorKind::failed, "console: {}", errno_words(errno));
    auto fd = std::make_shared<UniqueFd>(std::move(ours));
    boost::asio::post(loop, [runner, fd] {
      const auto alive = runner.lock();
      if (alive && (*alive)->console()) (*alive)->console()->drain(std::move(*fd));
    });
    return std::move(theirs);
  };
  return services;
}

Runner::Runner(boost::asio::io_context& loop, Setup setup, BootReporter& reporter)
    : loop_(loop), setup_(std::move(setup)), reporter_(reporter), signals_(loop, SIGTERM, SIGINT) {
  // nohup ignores it, and means that.
  struct sigaction hang_up {};
  if (::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) signals_.add(SIGHUP);
  shares_.assign(setup_.record.spec().shares().begin(), setup_.record.spec().shares().end());
  if (setup_.previous) remembered_ = for_next_boot(*setup_.previous);
}

Runner::~Runner() = default;

// ---- booting ----

void Runner::start(std::unique_ptr<PluginHypervisor> plugin) {
  takes_guest_ports_ = plugin->has_extension(MVM_EXT_GUEST_CONNECT);
  plugin_ = std::make_unique<PluginCaller>(loop_, std::move(plugin));
  auto& record = setup_.record;
  record.set_pid(::getpid());
  record.set_pid_started(process_started(::getpid()).value_or(0));
  record.set_plugin_version(plugin_->identity().version);
  record.set_socket_dir(setup_.sockets.directory.string());
  record.set_started_at(now_rfc3339());
  record.clear_ended_at();
  record.clear_last_error();
  record.clear_exit_reason();
  record.clear_guest_address();
  record.clear_hypervisor_pid();
  record.clear_console_pty();
  wait_for_signal();
  enter(VmHappening::boot_begins);
  // What can fail comes before the record that remembers the plan.
  auto ready = bind_everything();
  if (ready) ready = lock_disks();
  if (ready) ready = check_base(record, setup_.rootfs);
  if (ready && setup_.damaged_record) ready = setup_.store.set_damaged_record_aside(setup_.name);
  if (!ready) {
    forget_plan();
    return boot_failed(ready.error());
  }
  record.set_disk_pending(setup_.rootfs.is_new);
  if (auto saved = save(); !saved) return boot_failed(saved.error());
  prepare_disk();
}

// The boot did not get as far as the plan's disk: what the record remembered still holds.
void Runner::forget_plan() {
  if (!setup_.previous) return;
  auto& record = setup_.record;
  *record.mutable_spec() = setup_.previous->spec();
  record.set_hypervisor(setup_.previous->hypervisor());
  record.set_plugin(setup_.previous->plugin());
  record.set_disk_pending(setup_.previous->disk_pending());
  *record.mutable_overlay_base() = setup_.previous->overlay_base();
}

Result<void> Runner::bind_everything() {
  const VmPaths files = setup_.store.paths(setup_.name);
  MVM_TRY(control_, ControlServer::start(loop_, setup_.sockets.control(),
                                         [this](const pb::ControlRequest& request, ControlServer::Reply reply) {
                                           handle(request, std::move(reply));
                                         }));
  MVM_TRY(vsock_, VsockSocket::bind(loop_, setup_.sockets.vsock()));
  for (const auto& port : setup_.record.spec().published_ports()) MVM_CHECK(bind_port(port));
  // Last, since it sets the log of the boot before aside.
  MVM_TRY(console_, ConsoleLog::create(loop_, files.console_log()));
  if (setup_.record.spec().pty()) {
    MVM_CHECK(console_->open_pty());
    setup_.record.set_console_pty(console_->pty_path());
  }
  return {};
}

Result<void> Runner::bind_port(const pb::PublishedPort& port) {
  MVM_TRY(auto forward, PortForwarder::bind(loop_, port.address(), static_cast<uint16_t>(port.host_port()),
                                            static_cast<uint16_t>(port.guest_port())));
  forwards_.push_back(std::move(forward));
  return {};
}

void Runner::prepare_disk() {
  const auto& spec = setup_.record.spec();
  if (!setup_.rootfs.is_new) return boot();
  if (!setup_.rootfs.base.empty()) {
    const auto made = put_empty_file(setup_.rootfs.file);
    return made ? boot() : boot_failed(made.error());
  }
  auto source_lock = lock_disk(spec.rootfs(), false);
  if (!source_lock) return boot_failed(source_lock.error());
  copying_ = true;
  const auto result = std::make_shared<Result<CopyReport>>();
  const auto held = std::make_shared<UniqueFd>(std::move(*source_lock));
  const auto progress = [this](uint64_t done, uint64_t total) {
    boost::asio::post(loop_, [this, done, total] {
      if (!reported_) reporter_.copying(done, total);
    });
  };
  plugin_->run_aside(
      [result, held, from = spec.rootfs(), to = setup_.rootfs.file, progress] {
        *result = copy_disk(from, to, true, progress);
        held->reset();
      },
      [this, result] {
        copying_ = false;
        if (ending_) return;
        if (!*result) {
          forget_plan();
          return boot_failed(result->error());
        }
        setup_.record.set_disk_pending(false);
        if (auto saved = save(); !saved) return boot_failed(saved.error());
        boot();
      });
}

Result<void> Runner::lock_disks() {
  const auto& spec = setup_.record.spec();
  if (!spec.rootfs().empty() && spec.rootfs_mode() != "clone") {  // a clone's is read once, and locked for that
    MVM_TRY(auto lock, lock_disk(spec.rootfs(), spec.rootfs_mode() == "direct"));
    disk_locks_.push_back(std::move(lock));
  }
  for (const auto& disk : spec.disks()) {
    MVM_TRY(auto lock, lock_disk(disk.path(), !disk.read_only()));
    disk_locks_.push_back(std::move(lock));
  }
  return {};
}

void Runner::boot() {
  if (state() != VmState::starting) return;  // a stop overtook it
  if (setup_.rootfs.file != setup_.record.spec().rootfs()) {
    // The VM's own, but nothing keeps another VM from being given its path.
    auto lock = lock_disk(setup_.rootfs.file, true);
    if (!lock) return boot_failed(lock.error());
    disk_locks_.push_back(std::move(*lock));
  }
  listen_for_guest();
  const std::string spec = make_spec(setup_.record, setup_.rootfs, setup_.info).SerializeAsString();
  plugin_->call(
      "boot", setup_.boot_timeout,
      [spec](PluginHypervisor& plugin, Completion done) { plugin.boot(spec, std::move(done)); },
      [this](Result<std::string> result) {
        if (ending_ || state() == VmState::stopping) return;  // a stop overtook it, and tells
        if (!result) return boot_failed(result.error());
        booted(*result);
      });
}

void Runner::booted(const std::string& vm_info) {
  if (const UniqueFd spare = open_file("/dev/null", O_RDONLY | O_CLOEXEC); !spare && errno == EMFILE) {
    return boot_failed({ErrorKind::failed,
                        formatted("{}: boot: left its process no descriptor (MVM-P17)", plugin_->identity().label())});
  }
  v1::VmInfo info;
  info.ParseFromString(vm_info);
  setup_.record.set_hypervisor_pid(info.hypervisor_pid());
  setup_.record.set_guest_address(info.guest_address());
  setup_.record.set_disk_pending(false);
  enter(VmHappening::boot_done);
  if (auto saved = save(); !saved) {
    setup_.record.set_state(std::string(to_string(VmState::starting)));  // as the record says
    return boot_failed(saved.error());
  }
  std::error_code ignored;
  for (const auto& file : setup_.rootfs.left_behind) std::filesystem::remove(file, ignored);
  for (const auto& forward : forwards_) forward->start(connector());
  vsock_->start(connector());
  log::info("{}: running", setup_.name.str());
  reported_ = true;
  reporter_.running();
  if (early_exit_) on_event(*early_exit_);
}

// Whatever the reason, no VM is left running: what the plugin may have begun is stopped by force.
void Runner::boot_failed(const Error& error) {
  boot_failed_ = true;
  Ending ending{VmHappening::boot_failed, "", error.message, error.kind};
  if (!forcing_) {
    forcing_ = true;
    call_stop(true, milliseconds(0), slack, [this, ending](const Result<std::string>&) { end(ending); });
    return;
  }
  end(ending);
}

// ---- stopping ----

void Runner::stop(bool force, milliseconds grace, std::function<void()> done) {
  stop_waiters_.push_back(std::move(done));
  if (ending_) return;
  const bool first = state() != VmState::stopping;
  const bool held = state() == VmState::paused;
  const bool nobody_to_ask = state() == VmState::starting || !setup_.info.graceful_stop();
  if (first) {
    enter(VmHappening::stop_begins);
    if (auto saved = save(); !saved) log::error("{}", saved.error().message);
  }
  if (copying_) {
    end({VmHappening::ended, "host-stop", "", ErrorKind::failed});  // there is no VM yet
  } else if (force || (first && nobody_to_ask)) {
    force_stop();
  } else if (first) {
    const milliseconds patience = grace.count() > 0 ? grace : default_grace;
    if (!held) return ask_guest(patience);
    // One that is held hears nothing (mvm/ext/pause.h). Should it not go on, asking it finds that out.
    plugin_->call("resume", slack, resuming(), [this, patience](const Result<std::string>&) {
      if (!ending_ && !forcing_) ask_guest(patience);
    });
  }
}

// grace: what the plugin is told a graceful stop may take; limit: what the call may.
void Runner::call_stop(bool force, milliseconds grace, milliseconds limit,
                       std::function<void(Result<std::string>)> done) {
  v1::StopRequest request;
  request.set_name(setup_.name.str());
  request.set_force(force);
  request.set_timeout_ms(static_cast<uint32_t>(grace.count()));
  plugin_->call(
      "stop", limit,
      [bytes = request.SerializeAsString()](PluginHypervisor& plugin, Completion completion) {
        plugin.stop(bytes, std::move(completion));
      },
      std::move(done));
}

void Runner::ask_guest(milliseconds grace) {
  log::info("{}: asking the guest to shut down, for {} ms", setup_.name.str(), grace.count());
  call_stop(false, grace, grace + slack, [this](const Result<std::string>& result) {
    if (ending_ || forcing_) return;
    if (result) return end({VmHappening::ended, "host-stop", "", ErrorKind::failed});
    log::warn("{}: {}: now by force", setup_.name.str(), result.error().message);
    force_stop();
  });
}

void Runner::force_stop() {
  if (forcing_) return;
  forcing_ = true;
  call_stop(true, milliseconds(0), force_limit, [this](const Result<std::string>& result) {
    if (ending_) return;
    // The VM ends with this process at the latest; that it took that is worth a note.
    end({VmHappening::ended, "host-stop", result ? "" : result.error().message, ErrorKind::failed});
  });
}

void Runner::on_event(const v1::VmEvent& event) {
  if (event.what_case() == v1::VmEvent::kGuestAddress) {
    if (event.guest_address() == setup_.record.guest_address()) return;
    setup_.record.set_guest_address(event.guest_address());
    if (auto saved = save(); !saved) log::error("{}", saved.error().message);
    return;
  }
  if (boot_failed_) return;
  const v1::VmExited& exited = event.exited();
  if (console_) console_->drain_now();
  const std::string reason(exit_reason_name(exited.reason()));
  log::info("{}: ended: {} {}", setup_.name.str(), reason, exited.detail());
  if (state() == VmState::starting) {
    early_exit_ = event;  // boot's own completion comes first
    return;
  }
  // A guest without a way to tell its hypervisor (pvpanic) may be told by panic=N to reset: it looks like a reboot.
  if (exited.reason() == v1::EXIT_REASON_GUEST_RESET && console_ && console_->tells_of_panic()) {
    return end(
        {VmHappening::crashed, "guest-panic", with_console("the guest panicked, and reset itself"), ErrorKind::failed});
  }
  const bool asked_for = exited.reason() == v1::EXIT_REASON_GUEST_SHUTDOWN ||
                         exited.reason() == v1::EXIT_REASON_HOST_STOP || exited.reason() == v1::EXIT_REASON_GUEST_RESET;
  if (asked_for || state() == VmState::stopping) return end({VmHappening::ended, reason, "", ErrorKind::failed});
  end({VmHappening::crashed, reason, with_console(formatted("the guest ended: {}: {}", reason, exited.detail())),
       ErrorKind::failed});
}

// What the guest said last is what a user looks for.
std::string Runner::with_console(const std::string& why) const {
  const std::string lines = console_ ? console_->last_words() : std::string();
  return lines.empty() ? why : formatted("{}; its console's last words: {}", why, lines);
}

// The one way out. The record first, so that whoever is told finds it true; then the plugin's end, and only then the
// answers: who is told that a VM is stopped may rely on it.
void Runner::end(Ending ending) {
  if (ending_) return;
  ending_ = true;
  forwards_.clear();
  served_ports_.reset();
  vsock_.reset();
  if (console_) console_->close_pty();
  enter(ending.happening);
  auto& record = setup_.record;
  record.set_pid(0);
  record.set_pid_started(0);
  record.set_hypervisor_pid(0);
  record.clear_console_pty();
  record.set_ended_at(now_rfc3339());
  record.set_exit_reason(ending.exit_reason);
  record.set_last_error(ending.error);
  if (auto saved = save(); !saved) {
    log::error("{}", saved.error().message);
    unrecorded_ = saved.error().message;
  }
  if (!ending.error.empty() && reported_) log::error("{}: {}", setup_.name.str(), ending.error);

  exit_code_ = state() == VmState::stopped ? 0 : static_cast<int>(ending.kind);
  if (!reported_) {
    reported_ = true;
    const bool cancelled = ending.happening != VmHappening::boot_failed;
    const std::string why = ending.error.empty() ? "was stopped before it ran" : ending.error;
    exit_code_ = static_cast<int>(ending.kind);
    reporter_.failed({ending.kind, cancelled ? formatted("{}: {}", setup_.name.str(), why) : why});
  }
  plugin_->destroy(slack, [this](bool in_time) {
    if (!in_time && !copying_) log::error("{}: destroy: did not return (MVM-P10)", plugin_->identity().label());
    gone();
  });
}

void Runner::gone() {
  for (const auto& done : stop_waiters_) done();
  stop_waiters_.clear();
  control_.reset();
  std::error_code ignored;
  const VmPaths files = setup_.store.paths(setup_.name);
  std::filesystem::remove(files.crash_note(), ignored);
  if (copying_) std::filesystem::remove(files.rootfs().string() + ".partial", ignored);
  std::filesystem::remove(setup_.sockets.directory, ignored);  // unless somebody's vsock.sock_P is there
  disk_locks_.clear();
  { const VmLock released = std::move(setup_.lock); }
  loop_.stop();
}

// ---- serving ----

void Runner::handle(const pb::ControlRequest& request, ControlServer::Reply reply) {
  switch (request.what_case()) {
    case pb::ControlRequest::kPing:
      return reply(done_reply(), UniqueFd());
    case pb::ControlRequest::kStop:
      return stop(request.stop().force(), milliseconds(request.stop().timeout_ms()), [this, reply] {
        pb::ControlReply done;
        done.mutable_done()->set_unrecorded(unrecorded_);
        reply(std::move(done), UniqueFd());
      });
    case pb::ControlRequest::kInspect:
      return handle_inspect(std::move(reply));
    case pb::ControlRequest::kVsockConnect:
      return handle_connect(request.vsock_connect(), std::move(reply));
    case pb::ControlRequest::kShareDir:
      return handle_share(request.share_dir().share(), std::move(reply));
    case pb::ControlRequest::kUnshareDir:
      return handle_unshare(request.unshare_dir().tag(), std::move(reply));
    case pb::ControlRequest::kPublish:
      return answer(reply, publish(request.publish().port()));
    case pb::ControlRequest::kUnpublish:
      return answer(reply, unpublish(request.unpublish().port()));
    case pb::ControlRequest::kPause:
      return handle_pause(std::move(reply));
    case pb::ControlRequest::kResume:
      return handle_resume(std::move(reply));
    default:
      return reply(failure_reply({ErrorKind::unsupported,
                                  "its runner does not know this request: it is older than this mvmhost; stop and boot "
                                  "the VM to renew it"}),
                   UniqueFd());
  }
}

// From `from` to what `happening` makes of it, by the plugin's verb; done already, if it is there.
void Runner::change_pause(VmState from, VmHappening happening, const char* verb,
                          std::function<void(PluginHypervisor&, Completion)> start,
                          std::function<void(Result<std::string>)> done) {
  const std::string& name = setup_.name.str();
  if (state() == next_state(from, happening) && !changing_pause_) return done(std::string());
  if (state() != from || changing_pause_) {
    return done(fail(ErrorKind::failed, "{}: is {}: nothing to {}", name,
                     changing_pause_ ? "being paused or resumed" : to_string(state()), verb));
  }
  changing_pause_ = true;
  plugin_->call(verb, share_limit, std::move(start), [this, from, happening, done](Result<std::string> result) {
    changing_pause_ = false;
    if (result && state() == from) {
      enter(happening);
      log::info("{}: {}", setup_.name.str(), to_string(state()));
      if (auto saved = save(); !saved) {
        log::error("{}", saved.error().message);
        return done(
            fail(ErrorKind::failed, "{}: is {}, but {}", setup_.name.str(), to_string(state()), saved.error().message));
      }
    }
    done(std::move(result));
  });
}

void Runner::handle_pause(ControlServer::Reply reply) {
  v1::PauseRequest request;
  request.set_name(setup_.name.str());
  change_pause(
      VmState::running, VmHappening::paused, "pause",
      [bytes = request.SerializeAsString()](PluginHypervisor& plugin, Completion done) {
        plugin.pause(bytes, std::move(done));
      },
      [reply](const Result<std::string>& result) { answer(reply, result); });
}

void Runner::handle_resume(ControlServer::Reply reply) {
  change_pause(VmState::paused, VmHappening::resumed, "resume", resuming(),
               [reply](const Result<std::string>& result) { answer(reply, result); });
}

std::function<void(PluginHypervisor&, Completion)> Runner::resuming() const {
  v1::ResumeRequest request;
  request.set_name(setup_.name.str());
  return [bytes = request.SerializeAsString()](PluginHypervisor& plugin, Completion done) {
    plugin.resume(bytes, std::move(done));
  };
}

// A connection that is handed over may still have an end in this process: the hypervisor's.
void Runner::handle_connect(const pb::VsockConnect& request, ControlServer::Reply reply) {
  if (!leaves_descriptors_beside(STDERR_FILENO, 1, kept_from_handed_over)) {
    return reply(failure_reply({ErrorKind::failed,
                                formatted("{}: its process has no descriptors left for another connection: end some, "
                                          "or boot it with a higher limit (see ulimit -n)",
                                          setup_.name.str())}),
                 UniqueFd());
  }
  connect_guest(request.port(), milliseconds(request.timeout_ms()), [reply](Result<UniqueFd> fd) {
    if (!fd) return reply(failure_reply(fd.error()), UniqueFd());
    reply(done_reply(), std::move(*fd));
  });
}

void Runner::handle_share(const v1::Share& wanted, ControlServer::Reply reply) {
  const auto refuse = [&](const Error& error) { reply(failure_reply(error), UniqueFd()); };
  const std::string& name = setup_.name.str();
  if (state() != VmState::running) {
    return refuse({ErrorKind::failed, formatted("{}: is {}, not running", name, to_string(state()))});
  }
  v1::Share share = wanted;
  if (auto resolved = resolve_share(share, setup_.store); !resolved) return refuse(resolved.error());
  const auto same_tag = [&](const v1::Share& s) { return s.tag() == share.tag(); };
  if (std::any_of(shares_.begin(), shares_.end(), same_tag)) {
    return refuse({ErrorKind::invalid, formatted("share {}: its tag \"{}\" is taken: give it another with --tag",
                                                 share.path(), share.tag())});
  }
  v1::ShareDirRequest request;
  request.set_name(name);
  *request.mutable_share() = share;
  plugin_->call(
      "share_dir", share_limit,
      [bytes = request.SerializeAsString()](PluginHypervisor& plugin, Completion done) {
        plugin.share_dir(bytes, std::move(done));
      },
      [this, share, reply](const Result<std::string>& result) {
        if (!result) return reply(failure_reply(result.error()), UniqueFd());
        shares_.push_back(share);
        log::info("{}: shares {} as {}, {}", setup_.name.str(), share.path(), share.tag(),
                  share.read_only() ? "read-only" : "read-write");
        reply(done_reply(), UniqueFd());
      });
}

void Runner::handle_unshare(const std::string& tag, ControlServer::Reply reply) {
  const auto has_tag = [tag](const v1::Share& s) { return s.tag() == tag; };
  if (std::none_of(shares_.begin(), shares_.end(), has_tag)) {
    return reply(
        failure_reply({ErrorKind::failed, formatted("{}: shares nothing with the tag \"{}\"", setup_.name.str(), tag)}),
        UniqueFd());
  }
  v1::UnshareDirRequest request;
  request.set_name(setup_.name.str());
  request.set_tag(tag);
  plugin_->call(
      "unshare_dir", share_limit,
      [bytes = request.SerializeAsString()](PluginHypervisor& plugin, Completion done) {
        plugin.unshare_dir(bytes, std::move(done));
      },
      [this, has_tag, reply](const Result<std::string>& result) {
        if (!result) return reply(failure_reply(result.error()), UniqueFd());
        shares_.erase(std::remove_if(shares_.begin(), shares_.end(), has_tag), shares_.end());
        reply(done_reply(), UniqueFd());
      });
}

Result<void> Runner::publish(const pb::PublishedPort& wanted) {
  const std::string& name = setup_.name.str();
  const std::string host_end = host_end_text(wanted.address(), wanted.host_port());
  if (state() != VmState::running && state() != VmState::paused) {
    return fail(ErrorKind::failed, "{}: is {}, not running", name, to_string(state()));
  }
  if (!setup_.info.vsock()) {
    return fail(ErrorKind::unsupported, "publish: {} has no vsock to reach the guest by", setup_.record.hypervisor());
  }
  auto& ports = *setup_.record.mutable_spec()->mutable_published_ports();
  const auto same = find_published(ports, wanted);
  if (same != ports.end()) {
    return fail(ErrorKind::invalid, "{}: publishes {} already, to guest port {}; unpublish it first", name, host_end,
                same->guest_port());
  }
  MVM_CHECK(bind_port(wanted));
  *ports.Add() = wanted;
  if (auto saved = save(); !saved) {
    ports.RemoveLast();
    forwards_.pop_back();
    return saved;
  }
  forwards_.back()->start(connector());
  log::info("{}: publishes {} to guest port {}", name, host_end, wanted.guest_port());
  return {};
}

Result<void> Runner::unpublish(const pb::PublishedPort& wanted) {
  const std::string& name = setup_.name.str();
  const std::string host_end = host_end_text(wanted.address(), wanted.host_port());
  auto& ports = *setup_.record.mutable_spec()->mutable_published_ports();
  const auto same = find_published(ports, wanted);
  if (same == ports.end() || forwards_.size() != static_cast<size_t>(ports.size())) {
    return fail(ErrorKind::failed, "{}: does not publish {}; `mvmhost inspect {}` says what it does", name, host_end,
                name);
  }
  if (wanted.guest_port() != 0 && wanted.guest_port() != same->guest_port()) {
    return fail(ErrorKind::failed, "{}: publishes {} to guest port {}, not {}", name, host_end, same->guest_port(),
                wanted.guest_port());
  }
  // The record first: should it not be written, nothing has changed.
  const auto at = same - ports.begin();
  const auto before = ports;
  ports.erase(same);
  if (auto saved = save(); !saved) {
    ports = before;
    return saved;
  }
  forwards_.erase(forwards_.begin() + at);
  log::info("{}: publishes {} no longer", name, host_end);
  return {};
}

GuestConnector Runner::connector() {
  return [this](uint32_t port, milliseconds keep_trying, std::function<void(Result<UniqueFd>)> done) {
    connect_guest(port, keep_trying, std::move(done));
  };
}

void Runner::add_traffic(pb::InspectReply& inspected) const {
  for (size_t i = 0; i < forwards_.size(); ++i) {
    const PortForwarder::Traffic traffic = forwards_[i]->traffic();
    auto* told = inspected.add_port_traffic();
    *told->mutable_port() = setup_.record.spec().published_ports(static_cast<int>(i));
    told->set_open(traffic.open);
    told->set_connections(traffic.connections);
    told->set_refused(traffic.refused);
    told->set_bytes_to_guest(traffic.bytes_to_guest);
    told->set_bytes_from_guest(traffic.bytes_from_guest);
  }
}

void Runner::handle_inspect(ControlServer::Reply reply) {
  plugin_->call_plain(
      "list", look_limit, [](PluginHypervisor& plugin) { return plugin.list(); },
      [this, reply](const Result<std::string>& listed) {
        pb::ControlReply answer;
        auto* inspected = answer.mutable_inspected();
        *inspected->mutable_record() = setup_.record;
        v1::VmList list;
        if (listed && list.ParseFromString(*listed) && list.vms_size() > 0) *inspected->mutable_info() = list.vms(0);
        inspected->mutable_info()->clear_shares();
        for (const auto& share : shares_) *inspected->mutable_info()->add_shares() = share;
        add_traffic(*inspected);
        reply(std::move(answer), UniqueFd());
      });
}

void Runner::connect_guest(uint32_t port, milliseconds keep_trying, std::function<void(Result<UniqueFd>)> done) {
  if (state() != VmState::running) {
    return done(fail(ErrorKind::failed, "{}: is {}, not running", setup_.name.str(), to_string(state())));
  }
  v1::VsockConnectRequest request;
  request.set_name(setup_.name.str());
  request.set_port(port);
  request.set_timeout_ms(static_cast<uint32_t>(keep_trying.count()));
  plugin_->call_fd(
      formatted("vsock_connect to port {}", port), keep_trying + slack,
      [bytes = request.SerializeAsString()](PluginHypervisor& plugin, FdCompletion completion) {
        plugin.vsock_connect(bytes, std::move(completion));
      },
      std::move(done));
}

// The guest reaches vsock.sock_P: every port is listened on at once where the hypervisor can do that, elsewhere those
// whose sockets are there.
void Runner::listen_for_guest() {
  if (!takes_guest_ports_) return;
  if (setup_.info.guest_connect_any_port()) return guest_listen({{MVM_GUEST_PORT_ANY, true}}, [] {});
  auto served = ServedPorts::watch(loop_, setup_.sockets.vsock(),
                                   [this](std::vector<PortChange> changes, std::function<void()> done) {
                                     guest_listen(std::move(changes), std::move(done));
                                   });
  if (!served) return log::warn("{}: the guest cannot connect to the host", served.error().message);
  served_ports_ = std::move(*served);
}

void Runner::guest_listen(std::vector<PortChange> changes, std::function<void()> done) {
  const auto on_connect = [&loop = loop_, path = setup_.sockets.vsock(), pace = shortage_pace_](
                              uint32_t port, UniqueFd& fd) { return dial_from_guest(loop, path, port, fd, pace); };
  plugin_->call_plain(
      "guest_listen", look_limit,
      [on_connect, changes = std::move(changes)](PluginHypervisor& plugin) {
        std::string failures;  // one port's are not the others'
        for (const PortChange& change : changes) {
          try {
            plugin.guest_listen(change.port, change.served ? CanGuestConnect::OnConnect(on_connect) : nullptr);
          } catch (const mvm::Error& e) {
            failures += formatted("{}port {}: {}", failures.empty() ? "" : "; ", change.port, e.what());
          }
        }
        return failures;
      },
      [done = std::move(done)](const Result<std::string>& result) {
        const std::string& failures = result ? *result : result.error().message;
        if (!failures.empty()) log::warn("guest_listen: {}: the guest cannot connect to the host there", failures);
        done();
      });
}

void Runner::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    const bool again = ++stop_signals_ > 1;
    log::info("{}: signal {}: stopping{}", setup_.name.str(), signal, again ? " by force" : "");
    stop(again, default_grace, [] {});
    wait_for_signal();
  });
}

VmState Runner::state() const { return parse_vm_state(setup_.record.state()).value_or(VmState::failed); }

void Runner::enter(VmHappening happening) {
  const auto next = next_state(state(), happening);
  if (next) {
    setup_.record.set_state(std::string(to_string(*next)));
  } else {
    log::error("{}: no way from {} by happening {}", setup_.name.str(), to_string(state()),
               static_cast<int>(happening));
  }
}

// What a user asked for survives a power cut from here on. How a VM fares need not: whatever the record said, none runs
// after a power cut, and waiting for the disk would be most of the time that a boot and a stop take.
Result<void> Runner::save() {
  std::string remembered = for_next_boot(setup_.record);
  const bool same = !remembered_.empty() && remembered == remembered_;
  auto written = setup_.store.write(setup_.record, same ? Durability::ordered : Durability::synced);
  if (written) remembered_ = std::move(remembered);
  return written;
}

}  // namespace mvm::host
