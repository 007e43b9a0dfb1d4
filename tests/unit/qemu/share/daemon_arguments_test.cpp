// SPDX-License-Identifier: Apache-2.0
#include "share/daemon_arguments.hpp"

#include "support/catch.hpp"

using mvm::qemu::daemon_arguments;
using mvm::qemu::DaemonKind;
using mvm::qemu::DaemonVersion;
using mvm::qemu::parse_daemon_version;

TEST_CASE("the two programs called virtiofsd are told apart by their --version") {
  CHECK(parse_daemon_version("virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022\n") ==
        DaemonVersion{DaemonKind::c, "7.2.22"});
  CHECK(parse_daemon_version("virtiofsd 1.13.2\n") == DaemonVersion{DaemonKind::rust, "1.13.2"});
  CHECK(parse_daemon_version("virtiofsd 1.14.0-dev") == DaemonVersion{DaemonKind::rust, "1.14.0"});
}

TEST_CASE("what neither of them says at --version is no virtiofsd") {
  CHECK_FALSE(parse_daemon_version(""));
  CHECK_FALSE(parse_daemon_version("bash, version 5.2"));
  CHECK_FALSE(parse_daemon_version("virtiofsd version unknown"));
  CHECK_FALSE(parse_daemon_version("virtiofsd: not found"));
}

TEST_CASE("the daemon in C is told everything in its way") {
  CHECK(daemon_arguments(DaemonKind::c, "/usr/lib/qemu/virtiofsd", "/state/demo") ==
        std::vector<std::string>{"/usr/lib/qemu/virtiofsd", "-f", "--fd=3", "--rlimit-nofile=0", "--thread-pool-size=0",
                                 "-o", "source=/state/demo", "-o",
                                 "sandbox=namespace,cache=auto,announce_submounts,modcaps=-mknod,log_level=warn"});
}

TEST_CASE("the daemon in Rust is told everything in its way") {
  CHECK(daemon_arguments(DaemonKind::rust, "/usr/libexec/virtiofsd", "/state/demo") ==
        std::vector<std::string>{"/usr/libexec/virtiofsd", "--fd=3", "--rlimit-nofile=0", "--thread-pool-size=0",
                                 "--shared-dir=/state/demo", "--sandbox=namespace", "--cache=auto",
                                 "--announce-submounts", "--modcaps=-mknod", "--log-level=warn"});
}

TEST_CASE("a comma or a backslash in a path is no option to the daemon in C") {
  const auto arguments = daemon_arguments(DaemonKind::c, "/virtiofsd", "/a,sandbox=none\\,b");
  CHECK(arguments[6] == "source=/a\\,sandbox=none\\\\\\,b");
  CHECK(daemon_arguments(DaemonKind::rust, "/virtiofsd", "/a,b\\c")[4] == "--shared-dir=/a,b\\c");
}
