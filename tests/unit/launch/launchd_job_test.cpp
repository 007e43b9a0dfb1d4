// SPDX-License-Identifier: Apache-2.0
#include "launch/launchd_job.hpp"

#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "base/program.hpp"
#include "support/catch.hpp"

namespace mvm::host {
namespace {

using namespace std::chrono_literals;

LaunchdJob job_of(const std::string& home, const std::string& name) { return {home, *VmName::parse(name)}; }

// What another reader of property lists makes of it: Python's.
std::string as_python_reads(const std::string& plist) {
  const auto file = std::filesystem::temp_directory_path() / ("mvm-plist-" + std::to_string(::getpid()));
  std::ofstream(file) << plist;
  const std::string script =
      "import plistlib,sys\n"
      "job=plistlib.load(open(sys.argv[1],'rb'))\n"
      "print(job['ProgramArguments'], job['EnvironmentVariables'], job['ProcessType'], job['RunAtLoad'], "
      "job['KeepAlive'])";
  const auto read = run_program({"python3", "-c", script, file.string()}, 20s);
  std::filesystem::remove(file);
  REQUIRE(read);
  return read->output;
}

TEST_CASE("a property list says each argument and variable as it is, whatever is in it") {
  const auto plist =
      job_of("/home", "demo")
          .plist({"/usr/bin/mvm & host", "<a>\"'</a>", "tab\there", "line\nline\rend"}, {{"MVM_HOME", "/R&D <x>"}});
  REQUIRE(plist);
  CHECK(
      as_python_reads(*plist) ==
      "['/usr/bin/mvm & host', '<a>\"\\'</a>', 'tab\\there', 'line\\nline\\rend'] {'MVM_HOME': '/R&D <x>'} Interactive "
      "True False\n");
}

TEST_CASE("a control character, which no property list can say, is refused") {
  const auto plist = job_of("/home", "demo").plist({std::string("a\x01") + "b"}, {});
  REQUIRE_FALSE(plist);
  CHECK(plist.error().kind == ErrorKind::invalid);
  CHECK_THAT(plist.error().message, test::ContainsSubstring("has a control character"));
  for (const char* none : {"\xEF\xBF\xBE", "\xEF\xBF\xBF"}) CHECK_FALSE(job_of("/home", "demo").plist({none}, {}));
  CHECK(job_of("/home", "demo").plist({"\xEF\xBF\xBD"}, {}));
}

TEST_CASE("VMs of one name in two state directories are two jobs") {
  const std::string one = job_of("/home/a/.mvm", "demo").label();
  CHECK(one == job_of("/home/a/.mvm", "demo").label());
  CHECK(one != job_of("/home/b/.mvm", "demo").label());
  CHECK(one != job_of("/home/a/.mvm", "demo2").label());
  CHECK_THAT(one, test::StartsWith("org.mvmhost."));
}

TEST_CASE("a program's output, exit code and signal are told") {
  const auto said = run_program({"sh", "-c", "echo out; echo err >&2; exit 7"}, 20s);
  REQUIRE(said);
  CHECK(said->exit_code == 7);
  CHECK(said->output == "out\nerr\n");
  CHECK(run_program({"sh", "-c", "kill -9 $$"}, 20s)->exit_code == 137);
}

TEST_CASE("a program that is not there is unsupported, and one that takes too long is killed") {
  CHECK(run_program({"no-such-program-anywhere"}, 20s).error().kind == ErrorKind::unsupported);
  const auto late = run_program({"sleep", "600"}, 50ms);
  REQUIRE_FALSE(late);
  CHECK(late.error().kind == ErrorKind::deadline);
  CHECK(late.error().message == "sleep: did not end within 50 ms, and was killed");
}

TEST_CASE("a program that floods its output is read to its end, and kept to a bound") {
  const auto flood = run_program({"sh", "-c", "dd if=/dev/zero bs=64k count=20 2>/dev/null"}, 20s);
  REQUIRE(flood);
  CHECK(flood->exit_code == 0);
  CHECK(flood->output.size() == 64 * 1024);
}

}  // namespace
}  // namespace mvm::host
