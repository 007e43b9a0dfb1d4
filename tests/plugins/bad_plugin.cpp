// SPDX-License-Identifier: Apache-2.0
// One source, many misbehaving plugins: MVM_BAD_VARIANT says which. Each breaks one rule and keeps the others. By hand
// against abi.h, as the C++ helper would not let an author do most of this; no Protobuf library.
#include <chrono>
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
#include <unistd.h>

#include "mvm/abi.h"
#include "mvm/hypervisor.hpp"
#include "mvm/plugin.hpp"

namespace {

using mvm::Bytes;

constexpr std::string_view variant = MVM_BAD_VARIANT;
constexpr bool is(std::string_view name) { return variant == name; }

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

mvm_status info(mvm_hypervisor*, const mvm_sink* out, const mvm_sink*) {
  if (is("garbage-info")) write(out, garbage);
  if (is("witness")) {
    witness.entered("info");
    write(out, field(12, witness.seen));  // HypervisorInfo.features
  }
  return MVM_OK;
}

void destroy(mvm_hypervisor*) {}

void boot(mvm_hypervisor*, mvm_bytes spec, mvm_done done, void* user) {
  if (is("never-completes")) return;
  if (is("calls-exit")) std::exit(7);
  if (is("crashes")) std::raise(SIGSEGV);
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
  succeed(done, user);
}

mvm_status list(mvm_hypervisor*, const mvm_sink* out, const mvm_sink*) {
  witness.entered("list");
  write(out, field(1, running_vm()));
  return MVM_OK;
}

void vsock_connect(mvm_hypervisor*, mvm_bytes, mvm_fd_done done, void* user) {
  int fd = 9999;
  if (is("not-a-socket-fd")) fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  done(user, MVM_OK, fd, {nullptr, 0});
}

void share_dir(mvm_hypervisor*, mvm_bytes, mvm_done done, void* user) { succeed(done, user); }

const void* get_extension(mvm_hypervisor*, const char*) { return nullptr; }

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
  static const LargeTable table = make_table();
  static int instance = 0;
  witness.host = host;
  *hv = reinterpret_cast<mvm_hypervisor*>(&instance);
  *api = &table.head;
  return MVM_OK;
}

[[maybe_unused]] mvm_status negotiate(mvm_answer* answer) {
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
