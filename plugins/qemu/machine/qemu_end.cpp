// SPDX-License-Identifier: Apache-2.0
#include "qemu_end.hpp"

#include <string_view>

#include <signal.h>

namespace mvm::qemu {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string file_name(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

std::string one_line(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) text.replace(at, 1, "; ");
  return text;
}

// QEMU's own last words, which start with its name, or how it ended without any.
std::string words_of(const QemuEnd& end) {
  const std::string name = file_name(end.program);
  if (!end.fault.empty()) return name + ": " + end.fault;
  if (end.output.empty()) return name + ": " + end.status.describe() + ", without a word";
  const std::string words = one_line(end.output);
  return words.starts_with(name) ? words : name + ": " + words;
}

bool was_killed(const ExitStatus& status) {
  return status.kind == ExitStatus::Kind::killed &&
         (status.signal == SIGKILL || status.signal == SIGTERM || status.signal == SIGINT || status.signal == SIGHUP);
}

ExitCause explain_unasked_exit(const QemuEnd& end) {
  const std::string name = file_name(end.program);
  if (end.panicked || end.shutdown_reason == "guest-panic") {
    return {v1::EXIT_REASON_GUEST_PANIC, "the guest's kernel panicked"};
  }
  if (end.shutdown_reason == "host-signal") {
    return {v1::EXIT_REASON_KILLED, name + ": was told to end by a signal (SIGTERM, SIGINT or SIGHUP)"};
  }
  if (end.shutdown_reason == "guest-shutdown") {
    return {v1::EXIT_REASON_GUEST_SHUTDOWN, "the guest powered itself off"};
  }
  if (end.shutdown_reason == "guest-reset") return {v1::EXIT_REASON_GUEST_RESET, "the guest reset itself"};
  if (!end.fault.empty()) return {v1::EXIT_REASON_ERROR, words_of(end)};
  if (was_killed(end.status)) {
    return {v1::EXIT_REASON_KILLED,
            name + ": " + end.status.describe() + (end.status.signal == SIGKILL ? " (maybe for want of memory)" : "")};
  }
  if (end.status.kind == ExitStatus::Kind::killed) {
    const std::string words = end.output.empty() ? "" : "; it said: " + one_line(end.output);
    return {v1::EXIT_REASON_ERROR, name + ": " + end.status.describe() + words};
  }
  return {v1::EXIT_REASON_ERROR, words_of(end)};
}

// `... [/path]?` in QEMU's words about a lock (block/file-posix.c).
std::string locked_image(std::string_view output) {
  const size_t begin = output.find("another process using the image [");
  if (begin == std::string_view::npos) return {};
  const size_t from = output.find('[', begin) + 1;
  const size_t to = output.find(']', from);
  return to == std::string_view::npos ? std::string() : std::string(output.substr(from, to - from));
}

}  // namespace

ExitCause explain_exit(const QemuEnd& end, bool stopping) {
  ExitCause cause = explain_unasked_exit(end);
  if (!stopping || cause.reason == v1::EXIT_REASON_GUEST_PANIC) return cause;
  const bool by_itself = end.shutdown_reason.starts_with("guest-");
  return {v1::EXIT_REASON_HOST_STOP, by_itself ? "the guest shut down when asked" : "stopped by force"};
}

Error explain_failed_start(const v1::VmSpec& spec, const QemuEnd& end) {
  const std::string words = words_of(end);
  if (contains(end.output, "lock\n") && contains(end.output, "another process using the image")) {
    return Error(MVM_ERR_BUSY, "disk " + locked_image(end.output) +
                                   ": is in use by another process; stop that one first, or use a copy of the image");
  }
  if (contains(end.output, "guest memory") && contains(end.output, "Cannot allocate memory")) {
    return Error(MVM_ERR_BUSY, "memory: this host does not have " + std::to_string(spec.memory_bytes() >> 20) +
                                   " MiB to spare now: " + words);
  }
  if (contains(end.output, "without PVH ELF Note")) {
    return Error(MVM_ERR_INVALID, "kernel " + spec.kernel() +
                                      ": is an ELF kernel without a PVH entry point (CONFIG_PVH); use its bzImage");
  }
  if (contains(end.output, "KVM") && contains(end.output, "Permission denied")) {
    return Error(MVM_ERR_DENIED, "option accel: kvm: " + words);
  }
  return Error(MVM_ERR_INTERNAL, words);
}

}  // namespace mvm::qemu
