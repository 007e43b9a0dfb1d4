// SPDX-License-Identifier: Apache-2.0
#include "check/subject.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <stdlib.h>

namespace mvm::host::check {
namespace {

Subject& the_one() {
  static Subject subject;
  return subject;
}

}  // namespace

std::optional<uint32_t> Subject::service(const std::string& name) const {
  const auto found = services.find(name);
  return found == services.end() ? std::nullopt : std::optional(found->second);
}

void set_subject(Subject subject) { the_one() = std::move(subject); }
const Subject& subject() { return the_one(); }

std::string kernel_file() {
  if (!subject().kernel.empty()) return subject().kernel;
  static const TempDir dir;
  const auto path = dir.path() / "vmlinuz";
  if (!std::filesystem::exists(path)) write_file(path, "MVM stand-in kernel\n");
  return path.string();
}

TempDir::TempDir() {
  std::string pattern =
      (std::filesystem::canonical(std::filesystem::temp_directory_path()) / "mvm-check-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace mvm::host::check
