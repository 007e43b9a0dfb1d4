// SPDX-License-Identifier: Apache-2.0
#include "check/guest_files.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "check/stream.hpp"

namespace mvm::host::check {

std::vector<std::string> GuestFiles::lines(const std::string& command) {
  write_all(fd_.get(), command + "\n");
  const std::string head = read_line(fd_.get());
  if (!head.starts_with("OK ")) return {head};
  std::vector<std::string> all(std::stoul(head.substr(3)));
  for (std::string& line : all) line = read_line(fd_.get());
  return all;
}

std::vector<std::string> GuestFiles::shares() { return lines("LIST"); }

std::vector<std::string> GuestFiles::list(const std::string& tag_and_path) { return lines("DIR " + tag_and_path); }

std::string GuestFiles::read(const std::string& tag, const std::string& path) {
  write_all(fd_.get(), "READ " + tag + " " + path + "\n");
  const std::string head = read_line(fd_.get());
  return head.starts_with("OK ") ? read_exactly(fd_.get(), std::stoul(head.substr(3))) : head;
}

std::string GuestFiles::write(const std::string& tag, const std::string& path, const std::string& content) {
  write_all(fd_.get(), "WRITE " + std::to_string(content.size()) + " " + tag + " " + path + "\n");
  write_all(fd_.get(), content);
  return read_line(fd_.get());
}

bool GuestFiles::becomes(const std::string& tag, bool there) {
  const auto until = std::chrono::steady_clock::now() + subject().deadline;
  for (;;) {
    const auto all = shares();
    const bool is = std::any_of(all.begin(), all.end(), [&](const auto& s) { return s.rfind(tag + " ", 0) == 0; });
    if (is == there) return true;
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool GuestFiles::sees(const std::string& tag) { return becomes(tag, true); }
bool GuestFiles::sees_no_more(const std::string& tag) { return becomes(tag, false); }

}  // namespace mvm::host::check
