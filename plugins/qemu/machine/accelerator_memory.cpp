// SPDX-License-Identifier: Apache-2.0
#include "accelerator_memory.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {
namespace {

using nlohmann::json;

constexpr size_t max_file_bytes = 64 * 1024;
constexpr size_t max_entries = 64;

// The whole file; empty when it is too long, or not to be read.
std::string read_small_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return {};
  std::string text;
  std::array<char, 4096> piece;
  for (ssize_t n = 0; (n = ::read(file.get(), piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<size_t>(n));
    if (text.size() > max_file_bytes) return {};
  }
  return text;
}

bool write_all(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

std::string cache_directory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/mvm";
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? std::string(home) + "/.cache/mvm" : std::string();
}

}  // namespace

AcceleratorMemory::AcceleratorMemory(std::string directory, std::string boot_id)
    : directory_(std::move(directory)), boot_id_(std::move(boot_id)) {
  while (boot_id_.ends_with('\n')) boot_id_.pop_back();
  if (boot_id_.empty()) directory_.clear();  // what was learnt would never be forgotten
}

AcceleratorMemory AcceleratorMemory::of_this_user() {
  return {cache_directory(), read_small_file("/proc/sys/kernel/random/boot_id")};
}

std::vector<AcceleratorMemory::Entry> AcceleratorMemory::read() const {
  std::vector<Entry> entries;
  if (directory_.empty()) return entries;
  const json file_content = json::parse(read_small_file(file()), nullptr, false);
  if (!file_content.is_object() || file_content.value("boot_id", json()) != boot_id_) return entries;
  const json known = file_content.value("kernels", json());
  if (!known.is_array()) return entries;
  for (const json& item : known) {
    if (!item.is_object() || !item.value("of", json()).is_string() || !item.value("works", json()).is_boolean())
      continue;
    entries.push_back({item["of"].get<std::string>(), item["works"].get<bool>()});
  }
  return entries;
}

std::optional<bool> AcceleratorMemory::recall(const std::string& key) const {
  for (const Entry& entry : read()) {
    if (entry.key == key) return entry.works;
  }
  return std::nullopt;
}

void AcceleratorMemory::remember(const std::string& key, bool works) const noexcept {
  try {
    if (directory_.empty()) return;
    std::vector<Entry> entries{{key, works}};
    for (Entry& entry : read()) {
      if (entry.key != key && entries.size() < max_entries) entries.push_back(std::move(entry));
    }
    write(entries);
  } catch (...) {
    // then it is found out again the next time
  }
}

void AcceleratorMemory::write(const std::vector<Entry>& entries) const {
  json kernels = json::array();
  for (const Entry& entry : entries) kernels.push_back({{"of", entry.key}, {"works", entry.works}});
  const json content{{"boot_id", boot_id_}, {"kernels", std::move(kernels)}};
  std::filesystem::create_directories(directory_);
  std::string temporary = file() + ".XXXXXX";
  const UniqueFd out(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!out) return;
  const bool written = write_all(out.get(), content.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  if (!written || ::rename(temporary.c_str(), file().c_str()) != 0) ::unlink(temporary.c_str());
}

std::string file_identity(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return path;
  return path + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_ino) + " " +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

}  // namespace mvm::qemu
