// SPDX-License-Identifier: Apache-2.0
// One source, many misbehaving plugins: MVM_BAD_VARIANT says which. Each breaks one rule and keeps the others. By hand
// against abi.h, as the C++ helper would not let an author do most of this; no Protobuf library.
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mvm/abi.h"
#include "mvm/hypervisor.hpp"
#include "mvm/plugin.hpp"

namespace {

using mvm::Bytes;

constexpr std::string_view variant = MVM_BAD_VARIANT;
// With MVM_BE_GOOD in the environment none of what a host survives is done: the same library, and a good one.
bool is(std::string_view name) {
  static const bool good = std::getenv("MVM_BE_GOOD") != nullptr;
  return !good && variant == name;
}

[[noreturn]] void hang() {
  for (;;) ::pause();
}

void crash() { std::raise(SIGSEGV); }

// What a signal handler on the thread's own stack could not tell of.
[[gnu::noinline]] int eat_stack(int depth) {
  volatile char page[4096];
  page[0] = static_cast<char>(depth);
  return depth == INT_MAX ? 0 : eat_stack(depth + 1) + page[0];
}

// ---- as the library is loaded

struct AtLoad {
  AtLoad() {
    if (is("hangs-as-it-loads")) hang();
    if (is("crashes-as-it-loads")) crash();
    if (is("exits-as-it-loads")) ::_exit(0);
  }
} at_load;

// ---- messages by hand: field number and wire type, length, bytes

std::string field(int number, Bytes bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())}.append(bytes);
}
std::string running_vm() { return field(1, "demo") + "\x10\x02"; }  // VmInfo{name, VM_STATE_RUNNING}

constexpr char garbage[] = "\xff\xff\xff\xff\xff garbage";

void write(const mvm_sink* sink, Bytes bytes) { sink->write(sink, bytes.data(), bytes.size()); }
void succeed(mvm_done done, void* user, Bytes reply = {}) { done(user, MVM_OK, mvm::to_abi(reply), {nullptr, 0}); }

// ---- what the host is seen to do (variant witness)

struct Witness {
  const mvm_host* host = nullptr;
  bool completing = false;
  std::string seen;
  void note(const std::string& text) { seen += text + ";"; }
  // MVM-H4: while a completion runs, nothing is called here.
  void entered(const char* call) {
    if (completing) note(std::string("re-entered ") + call);
  }
} witness;

// The host's table is at least as long as this version's (MVM-H2), and a request stays as it is for the call's length,
// whatever the host is called for meanwhile (MVM-H5, MVM-H6).
void witness_boot(mvm_bytes spec, mvm_done done, void* user) {
  const mvm_host* host = witness.host;
  if (host->size < sizeof(mvm_host)) witness.note("host table too small");
  if (host->abi_major != MVM_ABI_MAJOR) witness.note("host of another major");
  const std::string before(mvm::from_abi(spec));
  mvm::Host(host).log(MVM_LOG_INFO, "witness: boots");
  host->event(host, mvm::to_abi(garbage));
  const std::string event = field(1, "demo") + field(3, "10.0.0.1");
  host->event(host, mvm::to_abi(event));
  int fd = -1;
  const mvm_status console = host->console_open(host, mvm::to_abi("demo"), &fd);
  if (console == MVM_OK) ::close(fd);
  witness.note("console " + std::to_string(console));
  if (host->get_extension(host, "nobody knows") != nullptr) witness.note("unknown extension found");
  if (before != mvm::from_abi(spec)) witness.note("request changed");
  witness.completing = true;
  succeed(done, user, running_vm());
  witness.completing = false;
}

// ---- the verbs

void corrupt_table();

mvm_status info(mvm_hypervisor*, const mvm_sink* out, const mvm_sink*) {
  if (is("crashes-in-info")) crash();
  if (is("writes-endlessly")) {  // and does not hear that the sink takes no more
    for (;;) write(out, std::string(100'000, 'x'));
  }
  if (is("garbage-info")) write(out, garbage);
  // HypervisorInfo{[BZIMAGE], vsock, share_dir_while_running}
  if (is("foreign-fd") || is("crashes-in-vsock-connect") || is("crashes-in-share-dir")) {
    write(out, "\x0a\x01\x01\x30\x01\x40\x01");
  }
  if (is("witness")) {
    witness.entered("info");
    write(out, field(12, witness.seen));  // HypervisorInfo.features
  }
  return MVM_OK;
}

void destroy(mvm_hypervisor*) {
  if (is("hangs-in-destroy")) hang();
  if (is("crashes-in-destroy")) crash();
}

// Ways to end a process, or to hold it up, in the middle of a boot.
void misbehave_in_boot() {
  if (is("hangs-in-boot")) hang();
  if (is("aborts")) std::abort();
  if (is("exits-quietly")) ::_exit(0);
  if (is("kills-itself")) ::kill(::getpid(), SIGKILL);
  if (is("stops-itself")) {
    ::kill(::getpid(), SIGSTOP);
    hang();
  }
  if (is("eats-its-stack")) std::exit(eat_stack(0));
  if (is("throws-across")) throw std::runtime_error("thrown across the boundary");
  if (is("closes-everything")) {
    for (int fd = 3; fd < 4096; ++fd) ::close(fd);
  }
  if (is("leaks-descriptors")) {
    while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
  }
  if (is("crashes-behind-its-handler")) {  // the host's handler never hears of it
    std::signal(SIGSEGV, SIG_DFL);
    crash();
  }
}

void flood(const mvm_host* host) {
  const std::string line(1000, 'x');
  const std::string event = field(1, "demo") + field(3, "10.0.0.1");
  for (int n = 0; n < 50'000; ++n) {
    if (is("floods-the-log")) mvm::Host(host).log(MVM_LOG_ERROR, line);
    if (is("floods-events")) host->event(host, mvm::to_abi(event));
  }
}

void boot(mvm_hypervisor*, mvm_bytes spec, mvm_done done, void* user) {
  misbehave_in_boot();
  if (is("floods-the-log") || is("floods-events")) flood(witness.host);
  if (is("corrupts-its-table")) corrupt_table();
  if (is("answers-somebody-else")) return succeed(done, reinterpret_cast<void*>(uintptr_t{0x4711}), running_vm());
  if (is("huge-reply")) return done(user, MVM_OK, {"", SIZE_MAX}, {nullptr, 0});
  if (is("fails-without-a-word")) return done(user, MVM_ERR_INTERNAL, {nullptr, 0}, {nullptr, 0});
  if (is("crashes-on-its-own-thread")) {
    std::thread([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      crash();
    }).detach();
  }
  if (is("never-completes")) return;
  if (is("calls-exit")) std::exit(7);
  if (is("crashes")) crash();
  if (is("garbage-reply")) return succeed(done, user, garbage);
  if (is("completes-late")) {
    std::thread([done, user] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      succeed(done, user, running_vm());
    }).detach();
    return;
  }
  if (is("witness")) return witness_boot(spec, done, user);
  succeed(done, user, running_vm());
  if (is("completes-twice")) succeed(done, user, running_vm());
}

void stop(mvm_hypervisor*, mvm_bytes, mvm_done done, void* user) {
  witness.entered("stop");
  if (is("hangs-in-stop")) hang();
  if (is("crashes-in-stop")) crash();
  if (is("never-stops")) return;
  succeed(done, user);
}

// Who takes the guest's connections, and who was told to take them no longer.
struct GuestPorts {
  mvm_guest_connect_fn on_connect = nullptr;
  void* user = nullptr;

  static mvm_status listen(mvm_hypervisor*, uint32_t, mvm_guest_connect_fn on_connect, void* user, const mvm_sink*);
  // A guest's connection to port 6000.
  void offer() const {
    int fds[2];
    if (on_connect == nullptr || ::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return;
    if (on_connect(user, 6000, fds[0]) != MVM_OK) ::close(fds[0]);
    ::close(fds[1]);
  }
} guest_ports;

mvm_status GuestPorts::listen(mvm_hypervisor*, uint32_t, mvm_guest_connect_fn on_connect, void* user, const mvm_sink*) {
  if (on_connect != nullptr) guest_ports = {on_connect, user};
  return MVM_OK;
}

mvm_status list(mvm_hypervisor*, const mvm_sink* out, const mvm_sink*) {
  witness.entered("list");
  guest_ports.offer();
  write(out, field(1, running_vm()));
  return MVM_OK;
}

// One that listens: its control socket, likely.
int a_socket_of_the_hosts() {
  for (int fd = 3; fd < 1024; ++fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) return fd;
  }
  return -1;
}

void vsock_connect(mvm_hypervisor*, mvm_bytes, mvm_fd_done done, void* user) {
  int fd = 9999;
  if (is("not-a-socket-fd")) fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (is("foreign-fd")) fd = a_socket_of_the_hosts();
  if (is("crashes-in-vsock-connect")) crash();
  done(user, MVM_OK, fd, {nullptr, 0});
}

void share_dir(mvm_hypervisor*, mvm_bytes, mvm_done done, void* user) {
  if (is("crashes-in-share-dir")) crash();
  succeed(done, user);
}

const void* get_extension(mvm_hypervisor*, const char* id) {
  static const mvm_guest_connect_api guest_connect{sizeof guest_connect, &GuestPorts::listen};
  return is("keeps-offering") && std::strcmp(id, MVM_EXT_GUEST_CONNECT) == 0 ? &guest_connect : nullptr;
}

// ---- tables of other versions

// Of a version after ours.
struct LargeTable {
  mvm_hypervisor_api head;
  void (*later)(mvm_hypervisor*);
  void (*even_later)(mvm_hypervisor*);
};

void never(mvm_hypervisor*) { std::abort(); }

// What lies behind a table's end is no function.
template <class Fn>
Fn poison() {
  return reinterpret_cast<Fn>(uintptr_t{0x10});
}

LargeTable the_table;

// Once the host has it: as a stray write would.
void corrupt_table() { std::memset(static_cast<void*>(&the_table), 0x10, sizeof the_table); }

LargeTable make_table() {
  LargeTable table{
      {sizeof(mvm_hypervisor_api), &info, &destroy, &boot, &stop, &list, &vsock_connect, &share_dir, &get_extension},
      &never,
      &never};
  if (is("null-slots")) table.head.stop = nullptr;
  if (is("large-table")) table.head.size = sizeof table;
  if (is("huge-table")) table.head.size = SIZE_MAX;
  if (is("small-table")) {  // of a version before vsock_connect was added
    table.head.size = offsetof(mvm_hypervisor_api, vsock_connect);
    table.head.vsock_connect = poison<decltype(table.head.vsock_connect)>();
    table.head.share_dir = poison<decltype(table.head.share_dir)>();
    table.head.get_extension = poison<decltype(table.head.get_extension)>();
  }
  return table;
}

mvm_status create(const mvm_host* host, mvm_bytes, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                  const mvm_sink* error) {
  if (is("init-fails")) write(error, "license: expired yesterday");
  if (is("init-fails") || is("init-fails-silently")) return MVM_ERR_DENIED;
  the_table = make_table();
  static int instance = 0;
  if (is("crashes-in-create")) crash();
  witness.host = host;
  *hv = reinterpret_cast<mvm_hypervisor*>(&instance);
  *api = &the_table.head;
  return MVM_OK;
}

[[maybe_unused]] mvm_status negotiate(mvm_answer* answer) {
  if (is("hangs-in-negotiate")) hang();
  answer->major = is("future-abi") ? 99 : MVM_ABI_MAJOR;
  answer->minor = MVM_ABI_MINOR;
  std::snprintf(answer->name, sizeof answer->name, "%s", is("wrong-name") ? "somebody-else" : variant.data());
  if (is("unterminated-name")) std::memset(answer->name, 'x', sizeof answer->name);
  std::snprintf(answer->version, sizeof answer->version, "%s", "1.0");
  std::snprintf(answer->vendor, sizeof answer->vendor, "%s", "the tests");
  answer->create = &create;
  return MVM_OK;
}

// ---- by the C++ helper: everything throws

[[maybe_unused]] void throw_something(const char* call) {
  if (is("throws-non-std")) throw 42;
  throw std::runtime_error(std::string(call) + ": thrown by a plugin");
}

struct Throwing final : mvm::Hypervisor, mvm::CanUnshareDir, mvm::CanGuestConnect {
  Throwing(mvm::Host, Bytes) {}
  std::string info() override { return throw_something("info"), std::string(); }
  void boot(Bytes, mvm::Completion done) override {
    // Once it has to come up, or the others could not be called.
    if (booted) return throw_something("boot");
    booted = true;
    done.succeed(running_vm());
    throw_something("boot");  // after the answer: it stands
  }
  void stop(Bytes, mvm::Completion) override { throw_something("stop"); }
  std::string list() override { return throw_something("list"), std::string(); }
  void vsock_connect(Bytes, mvm::FdCompletion) override { throw_something("vsock_connect"); }
  void share_dir(Bytes, mvm::Completion) override { throw_something("share_dir"); }
  void unshare_dir(Bytes, mvm::Completion) override { throw mvm::Error(MVM_ERR_NOT_FOUND, "unshare_dir: gone"); }
  void guest_listen(uint32_t, OnConnect) override { throw_something("guest_listen"); }
  bool booted = false;
};

}  // namespace

#if defined(MVM_BAD_no_entry)
extern "C" MVM_EXPORT const void* mvm_something_else() { return reinterpret_cast<const void*>(&create); }
#elif defined(MVM_BAD_throws) || defined(MVM_BAD_throws_non_std)
MVM_PLUGIN(Throwing, MVM_BAD_VARIANT, "1.0", "the tests")
#else
extern "C" MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer*, mvm_answer* answer, const mvm_sink*) {
  return negotiate(answer);
}
#endif

#if defined(MVM_BAD_extra_exports)
extern "C" MVM_EXPORT int mvm_nobody_asked_for_this() { return 1; }
#endif
