// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <limits>
#include <utility>

#include <fcntl.h>
#include <boost/asio/steady_timer.hpp>

#include "console_pump.hpp"
#include "guest/event_loop.hpp"
#include "guest/guest.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "mvm/vm_table.hpp"
#include "script.hpp"

namespace mvm::vz_double {
namespace {

// Who does not take a guest's last words has lost them.
constexpr std::chrono::seconds last_words_timeout{1};
// The power button has no deadline of its own.
constexpr std::chrono::milliseconds no_deadline{std::numeric_limits<uint32_t>::max()};

constexpr const char* guest_name = "vz";

UniqueFd duplicate(int fd) { return UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

v1::Share share_of(const MachineShare& share) {
  v1::Share message;
  message.set_tag(share.tag);
  message.set_path(share.path);
  message.set_read_only(share.read_only);
  return message;
}

v1::VmSpec spec_of(const MachineSpec& spec) {
  v1::VmSpec message;
  message.set_name(guest_name);
  message.set_kernel(spec.kernel);
  message.set_initrd(spec.initrd);
  message.set_cmdline(spec.cmdline);
  message.set_cpus(spec.cpus);
  message.set_memory_bytes(spec.memory_bytes);
  for (const MachineDisk& disk : spec.disks) {
    v1::Disk& one = *message.add_disks();
    one.set_path(disk.path);
    one.set_read_only(disk.read_only);
  }
  for (const MachineShare& share : spec.shares) *message.add_shares() = share_of(share);
  message.mutable_network()->set_enabled(!spec.mac.empty());
  message.mutable_network()->set_mac(spec.mac);
  return message;
}

mock::Options options_of(const std::string& cmdline) {
  google::protobuf::Map<std::string, std::string> options;
  for (const auto& [key, value] : script_in(cmdline)) options[key] = value;
  return mock::parse_options(options);
}

mock::Shares shares_of(const MachineSpec& spec) {
  mock::Shares shares;
  for (const MachineShare& share : spec.shares) shares.add(share_of(share));
  return shares;
}

Completion completion(Machine::Done done) {
  return Completion([done = std::move(done)](mvm_status status, Bytes, Bytes error) {
    done(status == MVM_OK ? std::string() : std::string(error.empty() ? "failed" : error));
  });
}

Machine::Connect outcome_of(mvm_status status) {
  switch (status) {
    case MVM_OK:
      return Machine::Connect::connected;
    case MVM_ERR_REFUSED:
      return Machine::Connect::refused;
    case MVM_ERR_BUSY:
    case MVM_ERR_CANCELLED:
      return Machine::Connect::not_running;
    default:
      return Machine::Connect::failed;
  }
}

}  // namespace

class Machine::Impl {
 public:
  Impl(OnExit on_exit, OnGuestConnect on_guest_connect)
      : on_exit_(std::move(on_exit)), on_guest_connect_(std::move(on_guest_connect)) {
    host_ports_.listen(MVM_GUEST_PORT_ANY, [this](uint32_t port, UniqueFd& fd) {
      if (!on_guest_connect_(port, fd.get())) return false;
      fd.release();
      return true;
    });
  }

  ~Impl() {
    loop_.post([this] {
      if (guest_) guest_->end(v1::EXIT_REASON_HOST_STOP, "the virtual machine is gone");
      guest_.reset();
      consoles_.close_all();
      if (pump_) pump_->close();
      pump_.reset();
      last_words_.cancel();
      at_end_ = {};
    });
    loop_.finish();
  }

  template <class Fn>
  void post(Fn&& fn) {
    loop_.post(std::forward<Fn>(fn));
  }

  void boot(const MachineSpec& spec, UniqueFd typed, UniqueFd printed, const Done& done) {
    try {
      console_ = mock::make_socket_pair();
      pump_ = std::make_shared<ConsolePump>(loop_.context(), std::move(console_.host), std::move(typed),
                                            std::move(printed), [this] { end_of_console(); });
      guest_ = std::make_shared<mock::Guest>(ground_, spec_of(spec), options_of(spec.cmdline), shares_of(spec));
      v1::VmInfo info;
      info.set_name(guest_name);
      table_.add(info);
    } catch (const std::exception& e) {
      pump_.reset();
      guest_.reset();
      return done(e.what());
    }
    killed_ = false;
    pump_->start();
    guest_->boot(completion(done));
  }

  void press_power_button() {
    if (guest_) guest_->stop(false, no_deadline, completion([](const std::string&) {}));
  }

  void kill(const Done& done) {
    if (!guest_) return done("is not running");
    killed_ = true;
    const auto guest = guest_;
    guest->stop(true, no_deadline, completion([this, done](const std::string& error) {
                  after_last_words([done, error] { done(error); });
                }));
  }

  void pause(const Done& done) { guest_ ? guest_->pause(completion(done)) : done("is not running"); }
  void resume(const Done& done) { guest_ ? guest_->resume(completion(done)) : done("is not running"); }

  void connect(uint32_t port, const Connected& done) {
    if (!guest_) return done(Connect::not_running, -1, "is not running");
    guest_->connect(port, std::chrono::milliseconds(0),
                    FdCompletion([done](mvm_status status, UniqueFd fd, Bytes error) {
                      done(outcome_of(status), fd.release(), std::string(error));
                    }));
  }

  void replace_shares(const std::vector<std::string>& old_tags, const std::vector<MachineShare>& shares) {
    if (!guest_) return;
    const auto ignored = [](const std::string&) {};
    for (const std::string& tag : old_tags) guest_->unshare(tag, completion(ignored));
    for (const MachineShare& share : shares) guest_->share(share_of(share), completion(ignored));
  }

 private:
  static Impl& self(const mvm_host* host) { return *static_cast<Impl*>(host->ctx); }

  static int32_t log_enabled(const mvm_host*, int32_t) { return 0; }

  static mvm_status console_open(const mvm_host* host, mvm_bytes, int* fd) {
    *fd = self(host).console_.guest.release();
    return MVM_OK;
  }

  static void event(const mvm_host* host, mvm_bytes bytes) {
    v1::VmEvent event;
    event.ParseFromArray(bytes.data, static_cast<int>(bytes.size));
    if (event.has_exited()) self(host).exited(event.exited());
  }

  void exited(const v1::VmExited& exited) {
    if (killed_) return;  // kill's own answer says it
    MachineExit exit;
    exit.failed = exited.reason() == v1::EXIT_REASON_GUEST_PANIC || exited.reason() == v1::EXIT_REASON_ERROR;
    exit.detail = exited.detail();
    after_last_words([this, exit] { on_exit_(exit); });
  }

  void gone() {
    // It calls from within the guest, which must outlive that.
    post([guest = std::move(guest_)] {});
    guest_.reset();
  }

  // Runs fn when the console's reader has all that the guest printed.
  void after_last_words(std::function<void()> fn) {
    if (!pump_) return fn();
    at_end_.push_back(std::move(fn));
    last_words_.expires_after(last_words_timeout);
    last_words_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled && pump_) {
        pump_->close();
        end_of_console();
      }
    });
  }

  void end_of_console() {
    // The pump calls from within itself.
    post([pump = std::move(pump_)] {});
    pump_.reset();
    last_words_.cancel();
    for (const auto& fn : std::exchange(at_end_, {})) fn();
  }

  const OnExit on_exit_;
  const OnGuestConnect on_guest_connect_;
  const mvm_host host_{sizeof(mvm_host), MVM_ABI_MAJOR, MVM_ABI_MINOR, this,   &log_enabled,
                       nullptr,          &event,        &console_open, nullptr};
  mock::EventLoop loop_{Host(&host_)};
  VmTable<v1::VmList> table_;
  HostPorts host_ports_;
  mock::Connections consoles_;
  mock::Ground ground_{loop_.context(), Host(&host_), host_ports_,
                       table_,          consoles_,    [this](const std::string&) { gone(); }};
  mock::SocketPair console_;
  std::shared_ptr<ConsolePump> pump_;
  std::shared_ptr<mock::Guest> guest_;
  boost::asio::steady_timer last_words_{loop_.context()};
  std::vector<std::function<void()>> at_end_;
  bool killed_ = false;
};

Machine::Machine(OnExit on_exit, OnGuestConnect on_guest_connect)
    : impl_(std::make_unique<Impl>(std::move(on_exit), std::move(on_guest_connect))) {}

Machine::~Machine() = default;

void Machine::boot(const MachineSpec& spec, Done done) {
  auto typed = std::make_shared<UniqueFd>(duplicate(spec.console_read_fd));
  auto printed = std::make_shared<UniqueFd>(duplicate(spec.console_write_fd));
  impl_->post([impl = impl_.get(), spec, typed, printed, done = std::move(done)] {
    impl->boot(spec, std::move(*typed), std::move(*printed), done);
  });
}

void Machine::press_power_button() {
  impl_->post([impl = impl_.get()] { impl->press_power_button(); });
}

void Machine::kill(Done done) {
  impl_->post([impl = impl_.get(), done = std::move(done)] { impl->kill(done); });
}

void Machine::pause(Done done) {
  impl_->post([impl = impl_.get(), done = std::move(done)] { impl->pause(done); });
}

void Machine::resume(Done done) {
  impl_->post([impl = impl_.get(), done = std::move(done)] { impl->resume(done); });
}

void Machine::connect(uint32_t port, Connected done) {
  impl_->post([impl = impl_.get(), port, done = std::move(done)] { impl->connect(port, done); });
}

void Machine::replace_shares(std::vector<std::string> old_tags, std::vector<MachineShare> shares) {
  impl_->post([impl = impl_.get(), old_tags = std::move(old_tags), shares = std::move(shares)] {
    impl->replace_shares(old_tags, shares);
  });
}

}  // namespace mvm::vz_double
