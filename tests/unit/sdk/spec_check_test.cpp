// SPDX-License-Identifier: Apache-2.0
#include "mvm/spec_check.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#include "support/catch.hpp"

using namespace mvm;

namespace {

struct Refusal {
  mvm_status status = MVM_OK;
  std::string words;
  bool operator==(const Refusal&) const = default;
};

template <class Fn>
Refusal refusal(const Fn& fn) {
  try {
    fn();
  } catch (const Error& e) {
    return {e.status(), e.what()};
  }
  return {};
}

class Dir {
 public:
  Dir() {
    std::string pattern = std::filesystem::temp_directory_path() / "spec-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Dir() { std::filesystem::remove_all(path_); }
  Dir(const Dir&) = delete;
  Dir& operator=(const Dir&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(*this / name) << content;
    return *this / name;
  }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("a VM's name has 1 to 63 small letters, digits and hyphens, and no hyphen first") {
  for (const std::string& name : {std::string("a"), std::string("0"), std::string("web-1"), std::string(63, 'x')}) {
    CHECK_NOTHROW(check_vm_name(name));
  }
  for (const std::string& name : {std::string(), std::string("-a"), std::string("Web"), std::string("a_b"),
                                  std::string("../x"), std::string(64, 'x')}) {
    INFO(name);
    CHECK(refusal([&] { check_vm_name(name); }) ==
          Refusal{MVM_ERR_INVALID, "vm \"" + name + "\": is not a name of the form [a-z0-9][a-z0-9-]{0,62}"});
  }
  const std::string with_nul("a\0b", 3);
  CHECK(refusal([&] { check_vm_name(with_nul); }).status == MVM_ERR_INVALID);
}

TEST_CASE("a required feature that is not among the known ones is unsupported, by its name", "[MVM-P12]") {
  const std::vector<std::string> required = {"overlay", "time-travel"};
  const Refusal refused{MVM_ERR_UNSUPPORTED, "feature \"time-travel\": required, and unknown to the mock (MVM-P12)"};
  CHECK(refusal([&] { check_features(required, "the mock", {"overlay"}); }) == refused);
  CHECK_NOTHROW(check_features(required, "the mock", {"time-travel", "overlay"}));
  CHECK_NOTHROW(check_features(std::vector<std::string>(), "the mock"));
  CHECK(refusal([&] { check_features(required, "the mock"); }).words ==
        "feature \"overlay\": required, and unknown to the mock (MVM-P12)");
}

TEST_CASE("why a file cannot be opened is one of three: not there, not allowed, not fit") {
  CHECK(status_of_errno(ENOENT) == MVM_ERR_NOT_FOUND);
  CHECK(status_of_errno(ENOTDIR) == MVM_ERR_NOT_FOUND);
  CHECK(status_of_errno(EACCES) == MVM_ERR_DENIED);
  CHECK(status_of_errno(EPERM) == MVM_ERR_DENIED);
  CHECK(status_of_errno(EROFS) == MVM_ERR_DENIED);
  CHECK(status_of_errno(ELOOP) == MVM_ERR_INVALID);
}

TEST_CASE("a file is opened close-on-exec, with the access that was asked for") {
  const Dir dir;
  const OpenFile file = open_file("disk x", dir.write("disk", "content"), O_RDWR);
  CHECK(file.info.st_size == 7);
  CHECK((::fcntl(file.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(file.fd.get(), F_GETFL) & O_ACCMODE) == O_RDWR);
}

TEST_CASE("what cannot be opened is refused by its subject, in the system's words") {
  const Dir dir;
  CHECK(refusal([&] { open_file("disk x", dir / "none", O_RDONLY); }) ==
        Refusal{MVM_ERR_NOT_FOUND, "disk x: No such file or directory"});
  CHECK(refusal([&] { open_file("disk x", dir / "", O_RDONLY); }) ==
        Refusal{MVM_ERR_INVALID, "disk x: is a directory"});
  CHECK(refusal([&] { open_file("disk x", dir.write("file", "") + "/below", O_RDONLY); }).status == MVM_ERR_NOT_FOUND);
}

TEST_CASE("a FIFO that nobody writes holds nobody up, and is no regular file") {
  const Dir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(S_ISFIFO(open_file("disk x", dir / "fifo", O_RDONLY).info.st_mode));
  CHECK(refusal([&] { open_regular_file("kernel x", dir / "fifo"); }) ==
        Refusal{MVM_ERR_INVALID, "kernel x: is not a regular file"});
}

TEST_CASE("a kernel or an initrd has something in it") {
  const Dir dir;
  CHECK(refusal([&] { open_regular_file("kernel x", dir.write("empty", "")); }) ==
        Refusal{MVM_ERR_INVALID, "kernel x: is empty"});
  CHECK(open_regular_file("kernel x", dir.write("kernel", "k")).info.st_size == 1);
}

TEST_CASE("a head is as long as was asked for, or as the file") {
  const Dir dir;
  const OpenFile file = open_regular_file("kernel x", dir.write("kernel", "0123456789"));
  CHECK(read_head("kernel x", file, 4) == "0123");
  CHECK(read_head("kernel x", file, 4) == "0123");  // from the beginning each time
  CHECK(read_head("kernel x", file, 100) == "0123456789");
}
