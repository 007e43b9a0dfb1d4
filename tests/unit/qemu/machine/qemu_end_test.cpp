// SPDX-License-Identifier: Apache-2.0
#include "machine/qemu_end.hpp"

#include <csignal>

#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::qemu;

namespace {

constexpr auto killed = ExitStatus::Kind::killed;
constexpr auto exited = ExitStatus::Kind::exited;

QemuEnd an_end(ExitStatus status = {exited, 0, 0}, const std::string& reason = "", const std::string& output = "") {
  QemuEnd end;
  end.program = "/usr/bin/qemu-system-x86_64";
  end.status = status;
  end.shutdown_reason = reason;
  end.output = output;
  return end;
}

}  // namespace

TEST_CASE("the last SHUTDOWN event tells what became of the guest, since the exit code is 0 for all of them") {
  CHECK(explain_exit(an_end({}, "guest-shutdown"), false).reason == v1::EXIT_REASON_GUEST_SHUTDOWN);
  CHECK(explain_exit(an_end({}, "guest-reset"), false).reason == v1::EXIT_REASON_GUEST_RESET);
  CHECK(explain_exit(an_end({}, "guest-panic"), false).reason == v1::EXIT_REASON_GUEST_PANIC);
  CHECK(explain_exit(an_end({}, "host-signal"), false).reason == v1::EXIT_REASON_KILLED);
  CHECK(explain_exit(an_end({}, ""), false).reason == v1::EXIT_REASON_ERROR);
}

TEST_CASE("a panic stays a panic, whatever was asked for and however QEMU ended") {
  QemuEnd end = an_end({killed, 0, SIGKILL}, "guest-reset");
  end.panicked = true;
  CHECK(explain_exit(end, true).reason == v1::EXIT_REASON_GUEST_PANIC);
  CHECK(explain_exit(end, false).reason == v1::EXIT_REASON_GUEST_PANIC);
}

TEST_CASE("a QEMU that we had to kill after the guest's end tells of the guest's end") {
  QemuEnd end = an_end({killed, 0, SIGKILL}, "guest-shutdown");
  end.fault = "closed its control connection (QMP)";
  CHECK(explain_exit(end, false).reason == v1::EXIT_REASON_GUEST_SHUTDOWN);
  end.shutdown_reason.clear();
  CHECK(explain_exit(end, false).detail == "qemu-system-x86_64: closed its control connection (QMP)");
}

TEST_CASE("a stop that was asked for says whether the guest complied") {
  CHECK(explain_exit(an_end({}, "guest-shutdown"), true).detail == "the guest shut down when asked");
  CHECK(explain_exit(an_end({}, "host-qmp-quit"), true).detail == "stopped by force");
  CHECK(explain_exit(an_end({killed, 0, SIGKILL}), true).detail == "stopped by force");
}

TEST_CASE("a QEMU that was killed is told from one that crashed") {
  CHECK(explain_exit(an_end({killed, 0, SIGKILL}), false).detail ==
        "qemu-system-x86_64: was killed by SIGKILL (maybe for want of memory)");
  const ExitCause crash = explain_exit(an_end({killed, 0, SIGSEGV}, "", "assertion failed"), false);
  CHECK(crash.reason == v1::EXIT_REASON_ERROR);
  CHECK(crash.detail == "qemu-system-x86_64: was killed by SIGSEGV; it said: assertion failed");
}

TEST_CASE("a failed start names what in the spec was wrong, where QEMU's words tell") {
  v1::VmSpec spec;
  spec.set_kernel("/k");
  spec.set_memory_bytes(uint64_t{512} << 20);
  const auto explain = [&](const std::string& output) {
    return explain_failed_start(spec, an_end({exited, 1, 0}, "", output));
  };
  const Error locked = explain(
      "qemu-system-x86_64: -device {..}: Failed to get \"write\" lock\nIs another process using the image [/a b.img]?");
  CHECK(locked.status() == MVM_ERR_BUSY);
  CHECK(std::string(locked.what()) ==
        "disk /a b.img: is in use by another process; stop that one first, or use a copy of the image");
  const Error memory = explain("qemu-system-x86_64: cannot set up guest memory 'mem0': Cannot allocate memory");
  CHECK(memory.status() == MVM_ERR_BUSY);
  CHECK_THAT(memory.what(), test::StartsWith("memory: this host does not have 512 MiB to spare now"));
  CHECK(explain("qemu-system-x86_64: Error loading uncompressed kernel without PVH ELF Note").status() ==
        MVM_ERR_INVALID);
  CHECK(explain("Could not access KVM kernel module: Permission denied").status() == MVM_ERR_DENIED);
}

TEST_CASE("a failed start that nobody foresaw is told in QEMU's own words, on one line") {
  const v1::VmSpec spec;
  const auto words = [&](const QemuEnd& end) { return std::string(explain_failed_start(spec, end).what()); };
  CHECK(words(an_end({exited, 1, 0}, "", "qemu-system-x86_64: one\ntwo")) == "qemu-system-x86_64: one; two");
  CHECK(words(an_end({exited, 1, 0}, "", "odd words")) == "qemu-system-x86_64: odd words");
  CHECK(words(an_end({exited, 3, 0})) == "qemu-system-x86_64: ended with exit code 3, without a word");
}
