// SPDX-License-Identifier: Apache-2.0
#include "store/vm_index.hpp"

#include <algorithm>
#include <fstream>
#include <vector>

#include <sys/stat.h>

#include "../base/temp_dir.hpp"
#include "base/file.hpp"
#include "store/vm_store.hpp"
#include "support/catch.hpp"

using namespace mvm::host;

namespace {

constexpr int vms = 64;  // as few as an index is written for

VmName name(int i) { return *VmName::parse("vm-" + std::to_string(100 + i)); }

struct stat file_of(const std::filesystem::path& path) {
  struct stat s {};
  REQUIRE(::stat(path.c_str(), &s) == 0);
  return s;
}

// A file that last changed in 1970.
struct stat old_file(int inode) {
  struct stat s {};
  s.st_ino = static_cast<ino_t>(inode);
  s.st_size = 1;
  return s;
}

struct Fixture {
  mvm::test::TempDir dir;
  VmStore store = *VmStore::at(dir.path() / "home");
  std::filesystem::path file = dir.path() / "home" / "index";
  Fixture() {
    REQUIRE(store.prepare());
    for (int i = 0; i < vms; ++i) put(i, VmState::stopped);
  }
  void put(int i, VmState state) {
    pb::VmRecord r;
    r.set_format(1);
    r.set_name(name(i).str());
    r.set_hypervisor("mock");
    r.set_state(std::string(to_string(state)));
    std::filesystem::create_directory(store.paths(name(i)).directory);
    REQUIRE(store.write(r));
  }
  // An index that knows every record as it is now, and says of each that it is of hypervisor "remembered".
  void remember(VmState state = VmState::stopped) {
    pb::VmIndexFile written;
    written.set_format(1);
    for (int i = 0; i < vms; ++i) {
      const struct stat s = file_of(store.paths(name(i)).record());
      auto& entry = *written.add_entries();
      entry.set_inode(s.st_ino);
      entry.set_size(static_cast<uint64_t>(s.st_size));
      entry.set_modified_ns(modified_ns(s));
      entry.set_changed_ns(changed_ns(s));
      entry.mutable_summary()->set_name(name(i).str());
      entry.mutable_summary()->set_hypervisor("remembered");
      entry.mutable_summary()->set_state(std::string(to_string(state)));
    }
    std::ofstream(file, std::ios::binary) << written.SerializeAsString();
  }
  int remembered() const {
    const auto all = store.list();
    REQUIRE(all);
    REQUIRE(all->size() == vms);
    int n = 0;
    for (const auto& vm : *all) n += vm.hypervisor() == "remembered" ? 1 : 0;
    return n;
  }
};

}  // namespace

TEST_CASE("a record that has not changed is not read again") {
  Fixture f;
  f.remember();
  CHECK(f.remembered() == vms);
}

TEST_CASE("a record that was replaced is read, whatever the index says") {
  Fixture f;
  f.remember();
  f.put(7, VmState::failed);
  CHECK(f.remembered() == vms - 1);
  CHECK(f.store.list()->at(7).state() == "failed");
}

TEST_CASE("a VM that the index remembers as running has crashed when nobody holds its lock") {
  Fixture f;
  f.put(3, VmState::running);
  f.remember(VmState::running);
  const auto lock = VmLock::acquire(f.store.paths(name(5)), std::chrono::milliseconds(0));
  REQUIRE(lock);
  const auto all = f.store.list();
  REQUIRE(all);
  CHECK(all->at(3).state() == "crashed");
  CHECK(all->at(5).state() == "running");
}

TEST_CASE("a VM that was removed is not listed, though the index knows it") {
  Fixture f;
  f.remember();
  REQUIRE(f.store.remove(name(9)));
  CHECK(f.store.list()->size() == vms - 1);
}

TEST_CASE("an index cut short at any byte, or with any byte turned, costs time and no VM") {
  Fixture f;
  f.remember();
  const auto whole = *read_file(f.file, 1 << 20);
  for (size_t i = 0; i < whole.size(); i += 97) {
    CAPTURE(i);
    std::ofstream(f.file, std::ios::binary) << whole.substr(0, i);
    const auto cut = f.store.list();
    REQUIRE(cut);
    CHECK(cut->size() == vms);
    std::string turned = whole;
    turned[i] = static_cast<char>(~turned[i]);
    std::ofstream(f.file, std::ios::binary) << turned;
    const auto listed = f.store.list();
    REQUIRE(listed);
    CHECK(listed->size() == vms);
  }
}

TEST_CASE("a record that changed just now is not remembered: its next change might not show") {
  Fixture f;
  REQUIRE(f.store.list());
  CHECK_FALSE(std::filesystem::exists(f.file));
}

TEST_CASE("what was kept is found after saving; fewer than 64 VMs are not worth a file") {
  mvm::test::TempDir dir;
  google::protobuf::Arena arena;
  const auto save = [&](size_t many) {
    VmIndex index(dir.path() / "index", arena);
    std::vector<pb::VmIndexEntry*> entries;
    for (size_t i = 0; i < many; ++i) {
      pb::VmSummary summary;
      summary.set_name(name(static_cast<int>(i)).str());
      entries.push_back(index.make(summary, old_file(static_cast<int>(i))));
    }
    index.save(entries, many);
  };
  save(vms - 1);
  CHECK_FALSE(std::filesystem::exists(dir.path() / "index"));
  save(vms);
  const VmIndex index(dir.path() / "index", arena);
  CHECK(index.find(name(1).str(), old_file(1)) != nullptr);
  CHECK(index.find(name(1).str(), old_file(2)) == nullptr);
}

TEST_CASE("an index whose entries are in no order is none") {
  Fixture f;
  f.remember();
  pb::VmIndexFile mixed;
  REQUIRE(mixed.ParseFromString(*read_file(f.file, 1 << 20)));
  mixed.mutable_entries()->SwapElements(3, 50);
  std::ofstream(f.file, std::ios::binary) << mixed.SerializeAsString();
  CHECK(f.remembered() == 0);
}

TEST_CASE("thousands of VMs, looked at by several threads, are each listed once and by name") {
  Fixture f;
  constexpr int many = 2100;
  for (int i = vms; i < many; ++i) {
    const auto directory = f.store.paths(name(i)).directory;
    std::filesystem::create_directory(directory);
    std::ofstream(directory / "record.json") << R"({"format":1,"name":")" << name(i).str() << R"(","state":")"
                                             << (i % 3 == 0 ? "running" : "stopped") << R"("})";
  }
  const auto all = f.store.list();
  REQUIRE(all);
  REQUIRE(all->size() == many);
  const auto before = [](const auto& a, const auto& b) { return a.name() < b.name(); };
  CHECK(std::is_sorted(all->begin(), all->end(), before));
  CHECK(std::adjacent_find(all->begin(), all->end(),
                           [](const auto& a, const auto& b) { return a.name() == b.name(); }) == all->end());
  for (const auto& vm : *all) {
    const int i = std::stoi(vm.name().substr(3)) - 100;
    if (i < vms) continue;
    CHECK(vm.state() == (i % 3 == 0 ? "crashed" : "stopped"));
  }
}

TEST_CASE("where the index cannot be written, list works without") {
  Fixture f;
  std::filesystem::create_directory(f.file);
  CHECK(f.store.list()->size() == vms);
}
