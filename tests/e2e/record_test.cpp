// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

fs::path record(const Sandbox& box) { return box.vm("demo") / "record.json"; }

void write_record(const Sandbox& box, const std::string& text) { box.write("state/vms/demo/record.json", text); }

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

}  // namespace

TEST_CASE("a record cut short at any length is named and loses nothing", "[e2e][record]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "image");
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  box.must_boot("other");
  const std::string whole = slurp(record(box));
  const std::string disk = slurp(box.vm("demo") / "rootfs.img");
  // Without its closing newline it is still whole.
  for (size_t size = 0; size < whole.size() - 2; size += 10) {
    INFO("cut at " << size);
    write_record(box, whole.substr(0, size));
    const std::string json = box.must({"list", "--output", "json"}).out;
    CHECK(json_value(json, "name") == "demo");
    CHECK(json_value(json, "state") == "failed");
    CHECK_THAT(json_value(json, "last_error"), ContainsSubstring("record.json") && ContainsSubstring("damaged"));
    CHECK_THAT(json, ContainsSubstring("\"other\""));
  }
  CHECK(slurp(record(box)).size() > 0);
  CHECK((slurp(box.vm("demo") / "rootfs.img") == disk));
  CHECK(box.run({"inspect", "demo"}).exit_code == 0);
  CHECK(box.run({"stop", "demo"}).exit_code == 0);
}

TEST_CASE("a damaged record is not booted by its name alone but with all options and is kept", "[e2e][record]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "image");
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  box.write("state/vms/demo/rootfs.img", "the guest's own");
  for (const std::string& garbage :
       {std::string("garbage"), std::string(), std::string("{}"), std::string("[]"), std::string("null"),
        std::string(100, '\0'), std::string(100'000, '{'), std::string("{\"name\": 7}")}) {
    INFO("garbage of " << garbage.size() << " bytes");
    write_record(box, garbage);
    CHECK_FAILS(box.run({"boot", "demo"}), 1, "record.json");
    CHECK((slurp(record(box)) == garbage));
    CHECK(box.boot("demo", {"--rootfs", image}).exit_code == 0);
    CHECK((slurp(box.vm("demo") / "record.json.damaged") == garbage));
    CHECK((slurp(box.vm("demo") / "rootfs.img") == "the guest's own"));
    box.must({"stop", "demo"});
  }
}

TEST_CASE("a refused boot of a VM with a damaged record deletes nothing", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo", {"--rootfs", box.disk("root.img", 1 << 20, "image")});
  box.must({"stop", "demo"});
  write_record(box, "garbage");
  for (const Args& more : {Args{}, Args{"--kernel", "/nowhere"}, Args{"--cpus", "65"}}) {
    Args command = {"--hypervisor", "mock", "boot", "demo"};
    command.insert(command.end(), more.begin(), more.end());
    CHECK(box.run(command).exit_code != 0);
    REQUIRE(fs::exists(box.vm("demo") / "rootfs.img"));
    CHECK(fs::exists(box.vm("demo") / "console.log"));
    CHECK(fs::exists(box.vm("demo") / "runner.log"));
  }
}

TEST_CASE("a refused boot of a VM without a record deletes nothing", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo", {"--rootfs", box.disk("root.img", 1 << 20, "image")});
  box.must({"stop", "demo"});
  fs::remove(record(box));
  CHECK(box.boot("demo", {"--cpus", "65"}).exit_code == 2);
  CHECK(fs::exists(box.vm("demo") / "rootfs.img"));
}

TEST_CASE("a VM with a damaged record can be removed with all that is its", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo");
  box.kill_runner("demo");  // whose sockets stay
  write_record(box, "garbage");
  CHECK(box.run({"rm", "demo"}).exit_code == 0);
  CHECK_FALSE(fs::exists(box.vm("demo")));
}

TEST_CASE("unknown fields in a record do no harm", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo", {"--cpus", "3"});
  box.must({"stop", "demo"});
  std::string text = replaced(slurp(record(box)), "{", "{\n  \"field_of_tomorrow\": {\"deep\": [1, 2]},");
  text = replaced(text, "\"spec\": {", "\"spec\": {\n    \"gpu\": \"yes\",");
  write_record(box, text);
  CHECK(box.state("demo") == "stopped");
  box.must({"boot", "demo"});
  CHECK(box.field("demo", "cpus") == "3");
}

TEST_CASE("a record of a newer format is refused and left alone", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  const std::string newer = replaced(slurp(record(box)), "\"format\": 1", "\"format\": 2");
  write_record(box, newer);
  CHECK_THAT(box.must({"list", "--output", "json"}).out, ContainsSubstring("format 2"));
  CHECK_FAILS(box.run({"boot", "demo"}), 1, "format 2");
  CHECK(slurp(record(box)) == newer);
  // Not damaged: a newer mvmhost's. All options given are no reason to set it aside.
  CHECK_FAILS(box.boot("demo"), 1, "newer mvmhost");
  CHECK(slurp(record(box)) == newer);
}

TEST_CASE("a record that calls itself by another name or state is damaged", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  const std::string good = slurp(record(box));
  for (const auto& [what, with] :
       {std::pair{"\"name\": \"demo\"", "\"name\": \"../../etc\""}, std::pair{"\"stopped\"", "\"flying\""}}) {
    write_record(box, replaced(good, what, with));
    CHECK_THAT(box.must({"list", "--output", "json"}).out, ContainsSubstring("damaged"));
  }
}

TEST_CASE("a record whose pid is somebody else's does them no harm", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo");
  const std::string running = slurp(record(box));
  const std::string pid = std::to_string(box.pid("demo"));
  box.kill_runner("demo");
  Process bystander({"sleep", "60"}, {"PATH=/usr/bin:/bin"});
  write_record(box, replaced(running, "\"pid\": " + pid, "\"pid\": " + std::to_string(bystander.pid())));
  CHECK(box.state("demo") == "crashed");
  CHECK(box.run({"stop", "demo", "--force"}).exit_code == 0);
  CHECK(box.run({"wait", "demo"}).exit_code == 1);
  CHECK_FALSE(bystander.has_ended());
}

TEST_CASE("state and its files are for their user alone", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo", {"--rootfs", box.disk("root.img", 1 << 20)});
  const auto mode = [](const fs::path& path) { return static_cast<unsigned>(fs::status(path).permissions()); };
  CHECK(mode(box.home()) == 0700);
  CHECK(mode(box.vm("demo")) == 0700);
  for (const auto& entry : fs::recursive_directory_iterator(box.vm("demo"))) {
    INFO(entry.path());
    CHECK(mode(entry.path()) == (entry.is_directory() ? 0700 : 0600));
  }
}

TEST_CASE("things in the state directory that are no VMs are passed over", "[e2e][record]") {
  const Sandbox box;
  box.must_boot("demo");
  box.directory("state/vms/Not A VM");
  box.write("state/vms/README", "hello");
  CHECK(json_value(box.must({"list", "--output", "json"}).out, "name") == "demo");
  CHECK(slurp(box.home() / "vms" / "README") == "hello");
  fs::remove(box.home() / "vms" / "README");
}

// Regression: a record that could not be written once the VM ran was told of as "was stopped before it ran", since the
// hypervisor's word that the VM had ended came first.
TEST_CASE("a boot whose record cannot be written says so, and leaves no VM", "[e2e][record]") {
  const Sandbox box;
  Process boot = box.start(box.boot_arguments("demo", {"--option", "boot-delay=3000"}));
  const fs::path record = box.vm("demo") / "record.json";
  REQUIRE(eventually([&] { return fs::exists(record); }));
  fs::rename(record, record.string() + ".kept");
  fs::create_directories(record / "in-the-way");
  const Outcome booted = boot.wait();
  CHECK_FAILS(booted, 1, "record.json: ");
  CHECK(eventually([&] { return box.processes().empty(); }));
  CHECK_THAT(slurp(box.vm("demo") / "runner.log"), !ContainsSubstring("no way from"));
  fs::remove_all(record);
  fs::rename(record.string() + ".kept", record);
  box.must({"boot", "demo", "--option", "boot-delay=0"});
}

}  // namespace mvm::test
