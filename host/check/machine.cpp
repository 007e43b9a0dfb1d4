// SPDX-License-Identifier: Apache-2.0
#include "check/machine.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.hpp"
#include "check/running_vm.hpp"

namespace mvm::host::check {

ConsoleLog::~ConsoleLog() {
  for (auto& reader : readers_) reader.join();
}

UniqueFd ConsoleLog::open() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) throw std::runtime_error("console: no socketpair");
  for (const int fd : fds) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  const std::lock_guard lock(mutex_);
  ended_ = false;
  readers_.emplace_back([this, fd = UniqueFd(fds[0])]() mutable { read(std::move(fd)); });
  return UniqueFd(fds[1]);
}

void ConsoleLog::read(UniqueFd fd) {
  std::array<char, 65536> piece;
  for (ssize_t n = 0; (n = ::read(fd.get(), piece.data(), piece.size())) > 0;) {
    const std::lock_guard lock(mutex_);
    text_.append(piece.data(), static_cast<size_t>(n));
    more_.notify_all();
  }
  fd.reset();  // who waits for the end may count descriptors then
  const std::lock_guard lock(mutex_);
  ended_ = true;
  more_.notify_all();
}

bool ConsoleLog::wait_for(const std::string& text) {
  std::unique_lock lock(mutex_);
  return more_.wait_for(lock, subject().deadline, [&] { return text_.find(text) != std::string::npos; });
}

bool ConsoleLog::wait_for_end() {
  std::unique_lock lock(mutex_);
  return more_.wait_for(lock, subject().deadline, [&] { return ended_; });
}

bool ConsoleLog::opened() {
  const std::lock_guard lock(mutex_);
  return !readers_.empty();
}

Machine::Machine(const std::filesystem::path& plugin, const std::string& name) {
  RunningVm::drop_kept();  // one instance at a time
  log::to_file(dir_.path() / "host.log", log::Level::debug, false);
  if (call_log() != nullptr) call_log()->call_begins("load");
  auto library = PluginLibrary::load(plugin, name);
  if (call_log() != nullptr) call_log()->call_returned();
  if (!library) throw std::runtime_error(library.error().message);
  v1::InstanceConfig config;
  config.set_state_dir(dir_.path().string());
  auto created = PluginHypervisor::create(*library, config.SerializeAsString(), services(), this);
  if (!created) throw std::runtime_error(created.error().message);
  hv_ = std::move(*created);
  if (auto described = hv_->describe()) info_ = *described;
}

Machine::~Machine() { destroy(); }

HostServices Machine::services() {
  HostServices s;
  s.log_enabled = [](int32_t) { return true; };
  s.log = [](int32_t, std::string_view message) { log::debug("plugin: {}", message); };
  s.event = [this](v1::VmEvent event) { take_event(std::move(event)); };
  s.console_open = [this](std::string_view) -> Result<UniqueFd> { return console_.open(); };
  return s;
}

bool Machine::has_option(const std::string& key, const std::string& value) const {
  const auto& options = info_.options();
  const auto& script = subject().script;
  return std::any_of(options.begin(), options.end(), [&](const auto& o) { return o.key() == key; }) ||
         script.contains(key) || script.contains(key + "=" + value);
}

// The script's parameters are the simulated guest's own, quoted as a kernel has it.
void Machine::set_option(v1::VmSpec& spec, const std::string& key, const std::string& value) const {
  if (subject().script.empty()) {
    (*spec.mutable_options())[key] = value;
  } else {
    spec.set_cmdline(spec.cmdline() + " simulated." + key + "=\"" + value + "\"");
  }
}

v1::VmSpec Machine::spec() const {
  v1::VmSpec spec;
  spec.set_name("demo");
  spec.set_kernel(kernel_file());
  spec.set_initrd(subject().initrd);
  spec.set_cmdline(subject().cmdline);
  spec.set_cpus(1);
  spec.set_memory_bytes(uint64_t{512} << 20);
  for (const auto& [key, value] : subject().options) (*spec.mutable_options())[key] = value;
  if (!subject().rootfs.empty()) {
    v1::Disk* disk = spec.add_disks();
    disk->set_path(subject().rootfs);
    disk->set_format(v1::DISK_FORMAT_RAW);
    disk->set_read_only(true);
  }
  return spec;
}

Outcome Machine::boot(const v1::VmSpec& spec) {
  const Call call;
  hv_->boot(spec.SerializeAsString(), call.completion());
  return call.wait();
}

void Machine::start(const std::map<std::string, std::string>& options) {
  v1::VmSpec with_options = spec();
  for (const auto& [key, value] : options) set_option(with_options, key, value);
  must_boot(with_options);
}

void Machine::must_boot(const v1::VmSpec& spec) {
  const Outcome outcome = boot(spec);
  if (outcome.status != MVM_OK) throw BootFailed(outcome.error);
}

void Machine::must_be_able_to_boot() {
  if (!subject().kernel.empty()) return;
  must_boot(spec());
  stop(true);
}

Outcome Machine::stop(bool force, uint32_t timeout_ms) {
  v1::StopRequest request;
  request.set_name("demo");
  request.set_force(force);
  request.set_timeout_ms(timeout_ms);
  const Call call;
  hv_->stop(request.SerializeAsString(), call.completion());
  return call.wait();
}

namespace {

// What is not supported is said by an exception.
template <class Fn>
Outcome outcome_of(const Call& call, const Fn& fn) {
  try {
    fn();
    return call.wait();
  } catch (const mvm::Error& e) {
    return {e.status(), {}, e.what(), {}};
  }
}

}  // namespace

Outcome Machine::connect(uint32_t port, uint32_t timeout_ms) {
  v1::VsockConnectRequest request;
  request.set_name("demo");
  request.set_port(port);
  request.set_timeout_ms(timeout_ms);
  const Call call;
  return outcome_of(call, [&] { hv_->vsock_connect(request.SerializeAsString(), call.fd_completion()); });
}

UniqueFd Machine::open_stream(uint32_t port) {
  const auto ms = std::chrono::milliseconds(subject().deadline).count();
  Outcome outcome = connect(port, static_cast<uint32_t>(ms));
  if (outcome.status != MVM_OK) throw std::runtime_error("vsock_connect: " + outcome.error);
  return std::move(outcome.fd);
}

Outcome Machine::share(const std::string& tag, const std::string& path, bool read_only) {
  v1::ShareDirRequest request;
  request.set_name("demo");
  request.mutable_share()->set_tag(tag);
  request.mutable_share()->set_path(path);
  request.mutable_share()->set_read_only(read_only);
  const Call call;
  return outcome_of(call, [&] { hv_->share_dir(request.SerializeAsString(), call.completion()); });
}

Outcome Machine::unshare(const std::string& tag) {
  v1::UnshareDirRequest request;
  request.set_name("demo");
  request.set_tag(tag);
  const Call call;
  return outcome_of(call, [&] { hv_->unshare_dir(request.SerializeAsString(), call.completion()); });
}

Outcome Machine::pause() {
  v1::PauseRequest request;
  request.set_name("demo");
  const Call call;
  return outcome_of(call, [&] { hv_->pause(request.SerializeAsString(), call.completion()); });
}

Outcome Machine::resume() {
  v1::ResumeRequest request;
  request.set_name("demo");
  const Call call;
  return outcome_of(call, [&] { hv_->resume(request.SerializeAsString(), call.completion()); });
}

v1::VmList Machine::list() {
  v1::VmList list;
  if (!list.ParseFromString(hv_->list())) throw std::runtime_error("list: no VmList (MVM-P7)");
  return list;
}

void Machine::take_event(v1::VmEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  came_.notify_all();
}

std::optional<v1::VmExited> Machine::wait_for_exit() {
  std::unique_lock lock(mutex_);
  const auto exited = [this] { return !events_.empty() && events_.back().has_exited(); };
  if (!came_.wait_for(lock, subject().deadline, exited)) return std::nullopt;
  return events_.back().exited();
}

bool Machine::exits_within(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return came_.wait_for(lock, limit, [this] { return !events_.empty() && events_.back().has_exited(); });
}

size_t Machine::events() {
  const std::lock_guard lock(mutex_);
  return events_.size();
}

void Machine::destroy() { hv_.reset(); }

std::string Machine::log() const {
  log::flush();
  return read_file(dir_.path() / "host.log");
}

bool Machine::wait_for_log(const std::string& text) const {
  const auto until = std::chrono::steady_clock::now() + subject().deadline;
  while (log().find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // a file tells nobody when it grows
  }
  return true;
}

void Machine::call_begins(std::string_view call) noexcept {
  if (call_log() != nullptr) call_log()->call_begins(call);
  const std::lock_guard lock(mutex_);
  calls_.emplace_back(call);
}

void Machine::call_returned() noexcept {
  if (call_log() != nullptr) call_log()->call_returned();
}

CallObserver*& Machine::call_log() {
  static CallObserver* observer = nullptr;
  return observer;
}

void check_no_rule_was_broken(const Machine& machine) {
  std::istringstream lines(machine.log());
  for (std::string line; std::getline(lines, line);) {
    if (line.find("(MVM-P") != std::string::npos) note(Verdict::failed, line);
  }
}

std::vector<std::string> Machine::calls() {
  const std::lock_guard lock(mutex_);
  return calls_;
}

}  // namespace mvm::host::check
