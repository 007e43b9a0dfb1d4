// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin_hypervisor.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.hpp"
#include "base/utf8.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "mvm/host_ports.hpp"
#include "plugin/collecting_sink.hpp"

namespace mvm::host {
namespace {

// The functions that a table of `size` bytes reaches; the rest are NULL (MVM-P3).
template <class Table>
Table read_table(const Table* theirs) {
  Table ours{};
  std::memcpy(&ours, theirs, std::min(theirs->size, sizeof ours));
  return ours;
}

// What a plugin's verb may find the VM in. One VM an instance: a runner has one.
enum class Phase { idle, booting, running };

// What is longer is a size that is none.
constexpr size_t largest_message = CollectingSink::max_bytes;

std::string quoted_error(mvm_bytes error) {
  if (error.size > largest_message) return "a message of more than a mebibyte (MVM-P7)";
  std::string text = as_utf8(from_abi(error));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

}  // namespace

// Shared with completions that may come after the instance is gone: they find their call by number, so that a plugin
// which completes twice, or late, or with a user value of its own making, meets a table and no dangling pointer.
class PendingCalls {
 public:
  using Pending = std::variant<Completion, FdCompletion>;

  void* add(std::string call, Pending completion) {
    const std::lock_guard lock(mutex_);
    const uint64_t number = ++last_;
    calls_.emplace(number, Entry{std::move(call), std::move(completion)});
    return reinterpret_cast<void*>(static_cast<uintptr_t>(number));
  }

  struct Entry {
    std::string call;
    Pending completion;
  };
  // Takes the call out; empty when it was answered before or never made (MVM-P4).
  std::optional<Entry> take(void* user) {
    const std::lock_guard lock(mutex_);
    const auto it = calls_.find(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(user)));
    if (it == calls_.end()) return std::nullopt;
    Entry entry = std::move(it->second);
    calls_.erase(it);
    return entry;
  }
  std::vector<Entry> take_all() {
    const std::lock_guard lock(mutex_);
    std::vector<Entry> all;
    for (auto& [number, entry] : calls_) all.push_back(std::move(entry));
    calls_.clear();
    return all;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, Entry> calls_;
  uint64_t last_ = 0;
};

namespace {

// Completions carry a number only, so the table they look it up in is the process's: it takes one plugin (MVM-H7).
PendingCalls& pending() {
  static auto* calls = new PendingCalls;
  return *calls;
}

std::string plugin_label;  // of the one plugin; set before any call is made

void answer_bytes(void* user, mvm_status status, mvm_bytes reply, mvm_bytes error) noexcept {
  try {
    auto entry = pending().take(user);
    if (!entry) {
      log::error("{}: completed a call that was not open: twice, or never made (MVM-P4)", plugin_label);
      return;
    }
    const auto* done = std::get_if<Completion>(&entry->completion);
    if (done == nullptr) {
      std::get<FdCompletion>(entry->completion).fail(MVM_ERR_ABI, "answered with bytes where an fd belongs (MVM-P4)");
    } else if (reply.size > largest_message || error.size > largest_message) {
      done->fail(MVM_ERR_ABI, formatted("answered with more than {} bytes (MVM-P7)", largest_message));
    } else if (status == MVM_OK) {
      done->succeed(from_abi(reply));
    } else {
      done->fail(status, error.size == 0 ? Bytes("gave no reason (MVM-P8)") : Bytes(quoted_error(error)));
    }
  } catch (...) {
    log::error("{}: out of memory in a completion", plugin_label);
  }
}

// What is wrong with an fd that a plugin handed over; empty: nothing (MVM-P5).
std::string fd_fault(int fd) {
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0) return formatted("handed over fd {}, which is not open (MVM-P5)", fd);
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
    return formatted("handed over fd {}, which is not a stream socket (MVM-P5)", fd);
  }
  int listens = 0;
  size = sizeof listens;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) {
    return formatted("handed over fd {}, which listens and is no connection (MVM-P5)", fd);
  }
  if ((flags & FD_CLOEXEC) == 0) {
    log::warn("{}: fd {} was not close-on-exec (MVM-P5)", plugin_label, fd);
    ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
  return {};
}

void answer_fd(void* user, mvm_status status, int fd, mvm_bytes error) noexcept {
  try {
    auto entry = pending().take(user);
    const std::string fault = status == MVM_OK ? fd_fault(fd) : std::string();
    // An fd that is none of ours is left alone: closing it could hit somebody else's.
    UniqueFd owned(status == MVM_OK && fault.empty() ? fd : -1);
    if (!entry) {
      owned.release();  // the number may be somebody else's by now
      log::error("{}: completed a call that was not open: twice, or never made (MVM-P4)", plugin_label);
      return;
    }
    const auto* done = std::get_if<FdCompletion>(&entry->completion);
    if (done == nullptr) {
      std::get<Completion>(entry->completion).fail(MVM_ERR_ABI, "answered with an fd where bytes belong (MVM-P4)");
    } else if (!fault.empty()) {
      done->fail(MVM_ERR_ABI, fault);
    } else if (status == MVM_OK) {
      done->succeed(std::move(owned));
    } else {
      done->fail(status, error.size == 0 ? Bytes("gave no reason (MVM-P8)") : Bytes(quoted_error(error)));
    }
  } catch (...) {
    log::error("{}: out of memory in a completion", plugin_label);
  }
}

}  // namespace

struct PluginHypervisor::State {
  std::shared_ptr<const PluginLibrary> library;
  HostServices services;
  CallObserver* observer = nullptr;
  mvm_host host{};
  mvm_hypervisor* hv = nullptr;
  mvm_hypervisor_api api{};
  mvm_unshare_dir_api unshare{};
  mvm_pause_api pause{};
  mvm_guest_connect_api guest_connect{};
  HostPorts guest_ports;  // who takes the guest's connections; the plugin is given this, and no single taker

  std::mutex phase_mutex;
  Phase phase = Phase::idle;

  std::string label() const { return library->identity().label(); }

  // Tells the observer around a call.
  template <class Fn>
  auto observed(std::string_view call, Fn&& fn) {
    struct Scope {
      CallObserver* observer;
      ~Scope() {
        if (observer != nullptr) observer->call_returned();
      }
    };
    if (observer != nullptr) observer->call_begins(call);
    const Scope scope{observer};
    return fn();
  }

  bool enter(Phase from, Phase to) {
    const std::lock_guard lock(phase_mutex);
    if (phase != from) return false;
    phase = to;
    return true;
  }
  void set(Phase to) {
    const std::lock_guard lock(phase_mutex);
    phase = to;
  }

  // [... & running]: answers a call that comes in another phase.
  template <class Done>
  bool refused_unless_running(const Done& done) {
    {
      const std::lock_guard lock(phase_mutex);
      if (phase == Phase::running) return false;
    }
    done.fail(MVM_ERR_BUSY, "the VM is not running (MVM-H3)");
    return true;
  }

  using Verb = void (*)(mvm_hypervisor*, mvm_bytes request, mvm_done done, void* user);
  // A verb that is answered with bytes and takes a running VM. `name`: what the caller is told where there is no slot.
  void call_while_running(const char* call, std::string_view name, Verb slot, Bytes request, const Completion& done) {
    if (slot == nullptr) throw unsupported(name);
    if (refused_unless_running(done)) return;
    void* const user = pending().add(call, done);
    observed(call, [&] { slot(hv, to_abi(request), &answer_bytes, user); });
  }

  static mvm::Error unsupported(std::string_view call) {
    return {MVM_ERR_UNSUPPORTED, formatted("not supported by this hypervisor ({})", call)};
  }

  std::string read(std::string_view call, mvm_status (*slot)(mvm_hypervisor*, const mvm_sink*, const mvm_sink*)) {
    if (slot == nullptr) throw unsupported(call);
    CollectingSink out;
    CollectingSink words;
    const mvm_status status = observed(call, [&] { return slot(hv, out.get(), words.get()); });
    if (status != MVM_OK) throw mvm::Error(status, words.text().empty() ? "gave no reason (MVM-P8)" : words.text());
    return out.text();
  }
};

// The host table. Nothing of ours throws into a plugin (MVM-H6).
struct PluginHypervisor::HostTable {
  static State& state_of(const mvm_host* host) { return *static_cast<State*>(host->ctx); }

  static int32_t log_enabled(const mvm_host* host, int32_t level) noexcept {
    try {
      return state_of(host).services.log_enabled(level) ? 1 : 0;
    } catch (...) {
      return 0;
    }
  }

  static void log(const mvm_host* host, const mvm_log_record* record) noexcept {
    try {
      constexpr size_t needed = offsetof(mvm_log_record, message) + sizeof record->message;
      if (record == nullptr || record->size < needed) return;
      state_of(host).services.log(record->level, from_abi(record->message));
    } catch (...) {
    }
  }

  static void event(const mvm_host* host, mvm_bytes bytes) noexcept {
    try {
      v1::VmEvent happened;
      if (bytes.size > largest_message || !happened.ParseFromArray(bytes.data, static_cast<int>(bytes.size)) ||
          happened.what_case() == v1::VmEvent::WHAT_NOT_SET) {
        host::log::error("{}: sent an event that is no mvm.v1.VmEvent of this version; ignored (MVM-P7)", plugin_label);
        return;
      }
      // A VM that ended may be booted again, and its other verbs are over.
      if (happened.has_exited()) state_of(host).set(Phase::idle);
      state_of(host).services.event(std::move(happened));
    } catch (...) {
    }
  }

  static mvm_status console_open(const mvm_host* host, mvm_bytes vm_name, int* fd) noexcept {
    try {
      auto opened = state_of(host).services.console_open(from_abi(vm_name));
      if (!opened) {
        host::log::error("console: {}", opened.error().message);
        return MVM_ERR_INTERNAL;
      }
      *fd = opened->release();
      return MVM_OK;
    } catch (...) {
      return MVM_ERR_INTERNAL;
    }
  }

  static const void* get_extension(const mvm_host*, const char*) noexcept { return nullptr; }
};

Result<std::unique_ptr<PluginHypervisor>> PluginHypervisor::create(std::shared_ptr<const PluginLibrary> library,
                                                                   const std::string& instance_config,
                                                                   HostServices services, CallObserver* observer) {
  auto state = std::make_unique<State>();
  state->library = std::move(library);
  state->services = std::move(services);
  state->observer = observer;
  state->host = mvm_host{sizeof(mvm_host),         MVM_ABI_MAJOR,   MVM_ABI_MINOR,     state.get(),
                         &HostTable::log_enabled,  &HostTable::log, &HostTable::event, &HostTable::console_open,
                         &HostTable::get_extension};
  plugin_label = state->label();

  CollectingSink words;
  const mvm_hypervisor_api* api = nullptr;
  const mvm_status status = state->observed("create", [&] {
    return state->library->answer().create(&state->host, to_abi(instance_config), &state->hv, &api, words.get());
  });
  const PluginIdentity& id = state->library->identity();
  if (status != MVM_OK) {
    return tl::unexpected(
        plugin_error(id, "create", status, words.text().empty() ? "gave no reason (MVM-P8)" : words.text()));
  }
  if (api == nullptr || state->hv == nullptr) {
    return tl::unexpected(plugin_error(id, "create", MVM_ERR_ABI, "returned no instance or no table (MVM-P2)"));
  }
  state->api = read_table(api);
  if (state->api.info == nullptr || state->api.destroy == nullptr || state->api.boot == nullptr ||
      state->api.stop == nullptr) {
    return tl::unexpected(
        plugin_error(id, "create", MVM_ERR_ABI, "its table lacks info, destroy, boot or stop (MVM-P2)"));
  }
  if (state->api.get_extension != nullptr) {
    const auto find = [&]<class Table>(const char* name, Table& table) {
      if (const void* found = state->api.get_extension(state->hv, name)) {
        table = read_table(static_cast<const Table*>(found));
      }
    };
    find(MVM_EXT_UNSHARE_DIR, state->unshare);
    find(MVM_EXT_PAUSE, state->pause);
    find(MVM_EXT_GUEST_CONNECT, state->guest_connect);
  }
  return std::unique_ptr<PluginHypervisor>(new PluginHypervisor(std::move(state)));
}

PluginHypervisor::PluginHypervisor(std::unique_ptr<State> state) : state_(std::move(state)) {}

PluginHypervisor::~PluginHypervisor() {
  state_->observed("destroy", [this] { state_->api.destroy(state_->hv); });
  for (const auto& entry : pending().take_all()) {
    log::error("{}: destroy left its {} unanswered (MVM-P10)", plugin_label, entry.call);
    std::visit([](const auto& done) { done.fail(MVM_ERR_CANCELLED, "the instance ended without answering (MVM-P10)"); },
               entry.completion);
  }
  // One a process: left there, for a thread of the plugin's that calls the host even now (MVM-P10).
  (void)state_.release();
}

const PluginIdentity& PluginHypervisor::identity() const noexcept { return state_->library->identity(); }

bool PluginHypervisor::has_extension(const std::string& id) const {
  return state_->api.get_extension != nullptr && state_->api.get_extension(state_->hv, id.c_str()) != nullptr;
}

Result<v1::HypervisorInfo> PluginHypervisor::describe() {
  try {
    v1::HypervisorInfo parsed;
    if (!parsed.ParseFromString(info())) {
      return tl::unexpected(
          plugin_error(identity(), "info", MVM_ERR_ABI, "its bytes are no mvm.v1.HypervisorInfo (MVM-P7)"));
    }
    return parsed;
  } catch (const mvm::Error& e) {
    return tl::unexpected(plugin_error(identity(), "info", e.status(), e.what()));
  }
}

std::string PluginHypervisor::info() { return state_->read("info", state_->api.info); }
std::string PluginHypervisor::list() { return state_->read("list", state_->api.list); }

void PluginHypervisor::boot(Bytes vm_spec, Completion done) {
  if (!state_->enter(Phase::idle, Phase::booting)) {
    done.fail(MVM_ERR_BUSY, "a VM is booting or running already (MVM-H3)");
    return;
  }
  State* state = state_.get();
  const Completion checked([state, done](mvm_status status, Bytes reply, Bytes error) {
    if (status != MVM_OK) {
      state->set(Phase::idle);
      done.fail(status, error);
      return;
    }
    if (v1::VmInfo info; !info.ParseFromArray(reply.data(), static_cast<int>(reply.size()))) {
      done.fail(MVM_ERR_ABI, "its reply is no mvm.v1.VmInfo (MVM-P7)");
      return;
    }
    state->enter(Phase::booting, Phase::running);
    done.succeed(reply);
  });
  void* const user = pending().add("boot", checked);
  state->observed("boot", [&] { state->api.boot(state->hv, to_abi(vm_spec), &answer_bytes, user); });
}

void PluginHypervisor::stop(Bytes stop_request, Completion done) {
  State* state = state_.get();
  const Completion noted([state, done](mvm_status status, Bytes reply, Bytes error) {
    if (status == MVM_OK || status == MVM_ERR_NOT_FOUND) state->set(Phase::idle);
    if (status == MVM_OK) {
      done.succeed(reply);
    } else {
      done.fail(status, error);
    }
  });
  void* const user = pending().add("stop", noted);
  state->observed("stop", [&] { state->api.stop(state->hv, to_abi(stop_request), &answer_bytes, user); });
}

void PluginHypervisor::vsock_connect(Bytes request, FdCompletion done) {
  if (state_->api.vsock_connect == nullptr) throw state_->unsupported("vsock_connect");
  if (state_->refused_unless_running(done)) return;
  void* const user = pending().add("vsock_connect", done);
  state_->observed("vsock_connect", [&] { state_->api.vsock_connect(state_->hv, to_abi(request), &answer_fd, user); });
}

void PluginHypervisor::share_dir(Bytes request, Completion done) {
  state_->call_while_running("share_dir", "share_dir", state_->api.share_dir, request, done);
}

void PluginHypervisor::unshare_dir(Bytes request, Completion done) {
  state_->call_while_running("unshare_dir", MVM_EXT_UNSHARE_DIR, state_->unshare.unshare_dir, request, done);
}

void PluginHypervisor::pause(Bytes request, Completion done) {
  state_->call_while_running("pause", MVM_EXT_PAUSE, state_->pause.pause, request, done);
}

void PluginHypervisor::resume(Bytes request, Completion done) {
  state_->call_while_running("resume", MVM_EXT_PAUSE, state_->pause.resume, request, done);
}

void PluginHypervisor::guest_listen(uint32_t port, OnConnect on_connect) {
  if (state_->guest_connect.listen == nullptr) throw state_->unsupported(MVM_EXT_GUEST_CONNECT);
  const bool listening = static_cast<bool>(on_connect);
  const mvm_guest_connect_fn offer = [](void* user, uint32_t guest_port, int fd) noexcept -> mvm_status {
    UniqueFd owned(fd);
    bool taken = false;
    try {
      taken = static_cast<HostPorts*>(user)->offer(guest_port, owned);
    } catch (...) {
      log::error("{}: out of memory for a connection of the guest's", plugin_label);
    }
    if (!taken) owned.release();  // the plugin keeps what we refuse
    return taken ? MVM_OK : MVM_ERR_REFUSED;
  };
  if (listening) state_->guest_ports.listen(port, std::move(on_connect));
  CollectingSink words;
  const mvm_status status = state_->observed("guest_listen", [&] {
    return state_->guest_connect.listen(state_->hv, port, listening ? offer : nullptr, &state_->guest_ports,
                                        words.get());
  });
  if (!listening || status != MVM_OK) state_->guest_ports.listen(port, nullptr);
  if (status != MVM_OK) throw mvm::Error(status, words.text().empty() ? "gave no reason (MVM-P8)" : words.text());
}

Error plugin_error(const PluginIdentity& plugin, std::string_view call, mvm_status status, std::string_view message) {
  ErrorKind kind = ErrorKind::failed;
  if (status == MVM_ERR_UNSUPPORTED) kind = ErrorKind::unsupported;
  if (status == MVM_ERR_INVALID) kind = ErrorKind::invalid;
  if (status == MVM_ERR_DEADLINE) kind = ErrorKind::deadline;
  return {kind, formatted("{}: {}: {}", plugin.label(), call, message)};
}

}  // namespace mvm::host
