// SPDX-License-Identifier: Apache-2.0
// Overlays as QEMU's own tool finds them.
#include "machine/overlay.hpp"

#include <cstdio>
#include <filesystem>

#include <sys/stat.h>
#include <sys/wait.h>
#include <nlohmann/json.hpp>

#include "machine/qcow2_header.hpp"
#include "machine/spec_check.hpp"
#include "support/catch.hpp"
#include "vm_for_test.hpp"

using namespace mvm;
using namespace mvm::qemu;
using namespace mvm::test;
using nlohmann::json;

namespace {

// The tool's answer. With -U where QEMU may hold the image; it names no file of ours but those in the command.
json ask_tool(const std::string& command) {
  std::FILE* tool = ::popen(("qemu-img " + command + " --output=json 2>&1").c_str(), "r");
  REQUIRE(tool != nullptr);
  std::string said;
  for (int c = std::fgetc(tool); c != EOF; c = std::fgetc(tool)) said += static_cast<char>(c);
  const int status = ::pclose(tool);
  INFO(said);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return json::parse(said);
}

struct Files {
  explicit Files(const std::string& content = std::string(1 << 20, 'b')) {
    write_file(dir / "base", content);
    write_file(dir / "overlay", "");
    disk = spec.add_disks();
    disk->set_path(dir / "overlay");
    disk->set_base(dir / "base");
    disk->set_format(v1::DISK_FORMAT_RAW);
  }
  TempDir dir;
  v1::VmSpec spec;
  v1::Disk* disk;
};

}  // namespace

TEST_CASE("an overlay is a sound image that reads as its base, names it, and takes little room") {
  const Files files;
  make_overlays(files.spec);
  const json info = ask_tool("info " + files.disk->path());
  CHECK(info["format"] == "qcow2");
  CHECK(info["virtual-size"] == 1 << 20);
  CHECK(info["backing-filename"] == files.disk->base());
  CHECK(info["backing-filename-format"] == "raw");
  const json check = ask_tool("check " + files.disk->path());
  CHECK(check["check-errors"] == 0);
  CHECK_FALSE(check.contains("leaks"));
  const json compared = ask_tool("map " + files.disk->path());
  REQUIRE(compared.size() == 1);
  CHECK(compared[0]["depth"] == 1);
  struct stat is {};
  REQUIRE(::stat(files.disk->path().c_str(), &is) == 0);
  CHECK(is.st_blocks * 512 <= 64 * 1024);
}

TEST_CASE("overlays of any size are sound: of a sector, of an odd number of bytes, of terabytes") {
  const uint64_t size = GENERATE(uint64_t{512}, uint64_t{1000}, (uint64_t{1} << 30) + 1, uint64_t{1} << 43);
  const Files files("b");
  std::filesystem::resize_file(files.disk->base(), size);
  make_overlays(files.spec);
  CHECK(ask_tool("info " + files.disk->path())["virtual-size"] == (size + 511) / 512 * 512);
  CHECK(ask_tool("check " + files.disk->path())["check-errors"] == 0);
}

TEST_CASE("an overlay over a qcow2 image has the size of the disk in it") {
  Files files;
  constexpr uint64_t size = uint64_t{32} << 40;  // so large that its table of tables has more than a cluster
  write_file(files.dir / "base", empty_qcow2(size, files.dir / "below", false));
  write_file(files.dir / "below", "x");
  files.disk->set_format(v1::DISK_FORMAT_QCOW2);
  make_overlays(files.spec);
  const json info = ask_tool("info " + files.disk->path());
  CHECK(info["virtual-size"] == size);
  CHECK(info["backing-filename-format"] == "qcow2");
  CHECK(ask_tool("check " + files.disk->path())["check-errors"] == 0);
}

TEST_CASE("an overlay that holds something is left as it is") {
  const Files files;
  write_file(files.disk->path(), "what a guest wrote");
  make_overlays(files.spec);
  CHECK(read_file(files.disk->path()) == "what a guest wrote");
}

TEST_CASE("an image whose path does not fit into an overlay is refused") {
  CHECK_THROWS_WITH(empty_qcow2(512, "/" + std::string(1023, 'x'), false),
                    ContainsSubstring("its path has 1024 bytes, and 1023 are the most"));
  CHECK_NOTHROW(empty_qcow2(512, "/" + std::string(1022, 'x'), false));
  CHECK_THROWS_WITH(empty_qcow2(~uint64_t{0}, "/x", false), ContainsSubstring("/x: is too large for an overlay"));
}

TEST_CASE("an overlay that cannot be made is left empty, so that the next boot makes it") {
  const Files files;
  std::filesystem::remove(files.disk->base());
  CHECK_THROWS_WITH(make_overlays(files.spec), ContainsSubstring("base: No such file"));
  CHECK(read_file(files.disk->path()).empty());
}
