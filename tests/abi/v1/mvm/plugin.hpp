// SPDX-License-Identifier: Apache-2.0
// Makes a class derived from mvm::Hypervisor a plugin:
//
//   class MyHypervisor : public mvm::Hypervisor {
//    public:
//     MyHypervisor(mvm::Host host, mvm::Bytes config);   // config: mvm.v1.InstanceConfig; may throw mvm::Error
//     ...
//   };
//   MVM_PLUGIN(MyHypervisor, "my-hypervisor", "1.0.0", "My Company")
//
// An exception that leaves any of its functions becomes a status and a message (MVM-P9). Extensions are found from
// the classes it derives from (CanUnshareDir, CanGuestConnect).
#ifndef MVM_PLUGIN_HPP
#define MVM_PLUGIN_HPP

#include <algorithm>
#include <concepts>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "abi.h"
#include "ext/guest_connect.h"
#include "ext/pause.h"
#include "ext/unshare_dir.h"
#include "hypervisor.hpp"

namespace mvm {

// What the host offers. Copyable; valid for the instance's life. [any]
class Host {
 public:
  explicit Host(const mvm_host* host) noexcept : host_(host) {}

  bool log_enabled(int32_t level) const noexcept {
    return has(&mvm_host::log_enabled) && host_->log_enabled(host_, level) != 0;
  }
  void log(int32_t level, std::string_view message) const noexcept {
    if (!has(&mvm_host::log) || !log_enabled(level)) return;
    mvm_log_record record{};
    record.size = sizeof record;
    record.level = level;
    record.message = to_abi(message);
    host_->log(host_, &record);
  }
  // event: serialised mvm.v1.VmEvent
  void event(Bytes event) const noexcept {
    if (has(&mvm_host::event)) host_->event(host_, to_abi(event));
  }
  // The host's end of the VM's console. Throws mvm::Error.
  UniqueFd console_open(std::string_view vm_name) const {
    if (!has(&mvm_host::console_open)) throw Error(MVM_ERR_UNSUPPORTED, "console: this host keeps none");
    int fd = -1;
    const mvm_status status = host_->console_open(host_, to_abi(vm_name), &fd);
    if (status != MVM_OK) throw Error(status, "console: the host could not open it");
    return UniqueFd(fd);
  }
  const void* extension(const char* id) const noexcept {
    return has(&mvm_host::get_extension) ? host_->get_extension(host_, id) : nullptr;
  }

 private:
  // Whether this host's table reaches that far and has the function (MVM-P3).
  template <class Slot>
  bool has(Slot mvm_host::*slot) const noexcept {
    if (host_ == nullptr) return false;
    const auto end = reinterpret_cast<const char*>(&(host_->*slot) + 1) - reinterpret_cast<const char*>(host_);
    return host_->size >= static_cast<size_t>(end) && host_->*slot != nullptr;
  }

  const mvm_host* host_;
};

namespace detail {

inline bool write_to(const mvm_sink* sink, Bytes bytes) noexcept {
  return sink != nullptr && sink->write != nullptr && sink->write(sink, bytes.data(), bytes.size()) == 0;
}

// Runs fn and turns what it throws into a status, its words into the error sink.
template <class Fn>
mvm_status guarded(const mvm_sink* error, Fn&& fn) noexcept {
  try {
    fn();
    return MVM_OK;
  } catch (const Error& e) {
    write_to(error, e.what());
    return e.status();
  } catch (const std::exception& e) {
    write_to(error, e.what());
  } catch (...) {
    write_to(error, "threw something that is not a std::exception");
  }
  return MVM_ERR_INTERNAL;
}

// One instance behind the C table.
template <std::derived_from<Hypervisor> T>
class Adapter {
 public:
  static mvm_status create(const mvm_host* host, mvm_bytes config, mvm_hypervisor** hv, const mvm_hypervisor_api** api,
                           const mvm_sink* error) noexcept {
    return guarded(error, [&] {  // which catches what `new` throws too
      // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
      *hv = reinterpret_cast<mvm_hypervisor*>(new T(Host(host), from_abi(config)));
      *api = &table;
    });
  }

 private:
  static T& self(mvm_hypervisor* hv) noexcept { return *reinterpret_cast<T*>(hv); }

  // The completion that the author gets, and a copy held here across the call: if the author's function throws, the
  // exception answers; if the author drops the completion, its last copy does.
  template <class Fn>
  static void answering(mvm_done done, void* user, Fn&& fn) noexcept {
    try {
      const Completion completion([done, user](mvm_status status, Bytes reply, Bytes error) {
        done(user, status, to_abi(reply), to_abi(error));
      });
      try {
        fn(completion);
      } catch (...) {
        completion.fail_with_current_exception();
      }
    } catch (...) {  // no memory for the completion itself
      done(user, MVM_ERR_INTERNAL, mvm_bytes{nullptr, 0}, to_abi("out of memory"));
    }
  }

  static mvm_status info(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) noexcept {
    return guarded(error, [&] { write_out(out, self(hv).info()); });
  }
  static void destroy(mvm_hypervisor* hv) noexcept { delete &self(hv); }
  static void boot(mvm_hypervisor* hv, mvm_bytes spec, mvm_done done, void* user) noexcept {
    answering(done, user, [&](const Completion& c) { self(hv).boot(from_abi(spec), c); });
  }
  static void stop(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) noexcept {
    answering(done, user, [&](const Completion& c) { self(hv).stop(from_abi(request), c); });
  }
  static mvm_status list(mvm_hypervisor* hv, const mvm_sink* out, const mvm_sink* error) noexcept {
    return guarded(error, [&] { write_out(out, self(hv).list()); });
  }
  static void vsock_connect(mvm_hypervisor* hv, mvm_bytes request, mvm_fd_done done, void* user) noexcept {
    try {
      const FdCompletion completion([done, user](mvm_status status, UniqueFd fd, Bytes error) {
        done(user, status, fd.release(), to_abi(error));
      });
      try {
        self(hv).vsock_connect(from_abi(request), completion);
      } catch (...) {
        completion.fail_with_current_exception();
      }
    } catch (...) {
      done(user, MVM_ERR_INTERNAL, -1, to_abi("out of memory"));
    }
  }
  static void share_dir(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) noexcept {
    answering(done, user, [&](const Completion& c) { self(hv).share_dir(from_abi(request), c); });
  }
  static void unshare_dir(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) noexcept {
    if constexpr (std::derived_from<T, CanUnshareDir>) {
      answering(done, user, [&](const Completion& c) { self(hv).unshare_dir(from_abi(request), c); });
    }
  }
  static void pause(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) noexcept {
    if constexpr (std::derived_from<T, CanPause>) {
      answering(done, user, [&](const Completion& c) { self(hv).pause(from_abi(request), c); });
    }
  }
  static void resume(mvm_hypervisor* hv, mvm_bytes request, mvm_done done, void* user) noexcept {
    if constexpr (std::derived_from<T, CanPause>) {
      answering(done, user, [&](const Completion& c) { self(hv).resume(from_abi(request), c); });
    }
  }
  static mvm_status guest_listen(mvm_hypervisor* hv, uint32_t port, mvm_guest_connect_fn on_connect, void* user,
                                 const mvm_sink* error) noexcept {
    if constexpr (std::derived_from<T, CanGuestConnect>) {
      return guarded(error, [&] {
        CanGuestConnect::OnConnect fn;
        if (on_connect != nullptr) {
          fn = [on_connect, user](uint32_t p, UniqueFd& fd) {
            const bool taken = on_connect(user, p, fd.get()) == MVM_OK;
            if (taken) fd.release();
            return taken;
          };
        }
        self(hv).guest_listen(port, std::move(fn));
      });
    } else {
      return MVM_ERR_UNSUPPORTED;
    }
  }
  static const void* get_extension(mvm_hypervisor*, const char* id) noexcept {
    if (id == nullptr) return nullptr;
    if constexpr (std::derived_from<T, CanUnshareDir>) {
      if (std::strcmp(id, MVM_EXT_UNSHARE_DIR) == 0) return &unshare_dir_table;
    }
    if constexpr (std::derived_from<T, CanPause>) {
      if (std::strcmp(id, MVM_EXT_PAUSE) == 0) return &pause_table;
    }
    if constexpr (std::derived_from<T, CanGuestConnect>) {
      if (std::strcmp(id, MVM_EXT_GUEST_CONNECT) == 0) return &guest_connect_table;
    }
    return nullptr;
  }

  static void write_out(const mvm_sink* out, Bytes bytes) {
    if (!write_to(out, bytes)) throw Error(MVM_ERR_INTERNAL, "the host's sink took no more bytes");
  }

  static constexpr mvm_hypervisor_api table{
      sizeof(mvm_hypervisor_api), &info, &destroy, &boot, &stop, &list, &vsock_connect, &share_dir, &get_extension};
  static constexpr mvm_unshare_dir_api unshare_dir_table{sizeof(mvm_unshare_dir_api), &unshare_dir};
  static constexpr mvm_pause_api pause_table{sizeof(mvm_pause_api), &pause, &resume};
  static constexpr mvm_guest_connect_api guest_connect_table{sizeof(mvm_guest_connect_api), &guest_listen};
};

// Fills what fits of `ours` into the caller's answer (the prefix rule, MVM-P3).
template <std::derived_from<Hypervisor> T>
mvm_status negotiate(const mvm_offer* offer, mvm_answer* answer, const mvm_sink* error, std::string_view name,
                     std::string_view version, std::string_view vendor) noexcept {
  constexpr size_t smallest = offsetof(mvm_answer, create) + sizeof(answer->create);
  if (offer == nullptr || answer == nullptr || offer->size < offsetof(mvm_offer, max_minor) ||
      answer->size < smallest) {
    write_to(error, "negotiation: the host's tables are too small (MVM-H2)");
    return MVM_ERR_ABI;
  }
  if (MVM_ABI_MAJOR < offer->min_major || MVM_ABI_MAJOR > offer->max_major) {
    write_to(error, std::string("speaks ABI ") + std::to_string(MVM_ABI_MAJOR) + ", this host " +
                        std::to_string(offer->min_major) + "-" + std::to_string(offer->max_major) + " (MVM-P2)");
    return MVM_ERR_ABI;
  }
  const auto put = [](auto& to, std::string_view from) {
    const size_t n = std::min(from.size(), sizeof to - 1);
    std::memcpy(to, from.data(), n);
    to[n] = '\0';
  };
  answer->major = MVM_ABI_MAJOR;
  // A host that knows less of this major gets no more than it knows.
  const bool newest = offer->size >= sizeof(mvm_offer) && offer->max_major == MVM_ABI_MAJOR;
  answer->minor = newest ? std::min<uint32_t>(MVM_ABI_MINOR, offer->max_minor) : MVM_ABI_MINOR;
  put(answer->name, name);
  put(answer->version, version);
  put(answer->vendor, vendor);
  answer->create = &Adapter<T>::create;
  return MVM_OK;
}

}  // namespace detail
}  // namespace mvm

#define MVM_PLUGIN(Class, name, version, vendor)                                                    \
  extern "C" MVM_EXPORT mvm_status mvm_plugin_negotiate(const mvm_offer* offer, mvm_answer* answer, \
                                                        const mvm_sink* error) {                    \
    return ::mvm::detail::negotiate<Class>(offer, answer, error, name, version, vendor);            \
  }

#endif  // MVM_PLUGIN_HPP
