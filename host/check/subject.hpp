// SPDX-License-Identifier: Apache-2.0
// What is checked, and with which guest.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace mvm::host::check {

struct Subject {
  std::filesystem::path plugin = {};
  std::string kernel = {};  // empty: a stand-in, a file that no processor could run
  std::string initrd = {};
  std::string rootfs = {};
  std::string cmdline = "console=hvc0 root=/dev/vda rw init=/init";
  std::map<std::string, std::string> options = {};  // of the plugin's own, for every boot
  std::map<std::string, uint32_t> services = {};    // what listens in the guest: plugins/mock/README.md
  // What can be scripted through the kernel's command line, where the plugin has no options for it: "key" for any
  // value, "key=value" for that one.
  std::set<std::string> script = {};
  bool together = false;                       // all checks in one process: where a start is dear
  bool one_vm = false;                         // running_vm.hpp
  uint64_t seed = 1;                           // of the fuzz
  std::chrono::milliseconds deadline{20'000};  // of one answer

  std::optional<uint32_t> service(const std::string& name) const;
};

// Set once, before anything is checked; until then the defaults.
void set_subject(Subject subject);
const Subject& subject();
// subject().kernel, or the stand-in for it.
std::string kernel_file();

// A directory that goes with the object.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, const std::string& content);
std::string read_file(const std::filesystem::path& path);

}  // namespace mvm::host::check
