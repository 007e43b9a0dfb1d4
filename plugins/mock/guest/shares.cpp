// SPDX-License-Identifier: Apache-2.0
#include "shares.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mvm::mock {
namespace {

constexpr int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

mvm_status status_of(int error) {
  switch (error) {
    case ENOENT:
      return MVM_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
      return MVM_ERR_DENIED;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return MVM_ERR_INVALID;
    default:
      return MVM_ERR_INTERNAL;
  }
}

[[noreturn]] void throw_errno(const std::string& subject) {
  const int error = errno;
  throw Error(status_of(error), subject + ": " + (error == ELOOP ? "is a symbolic link" : std::strerror(error)));
}

std::vector<std::string> steps_of(std::string_view path) {
  std::vector<std::string> steps;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view step = path.substr(0, slash);
    if (step == ".." || step.find('\0') != std::string_view::npos) {
      throw Error(MVM_ERR_INVALID, std::string(step) + ": leads out of the share");
    }
    if (!step.empty() && step != ".") steps.emplace_back(step);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return steps;
}

UniqueFd open_step(int dir, const std::string& step, int flags) {
  UniqueFd fd(::openat(dir, step.c_str(), flags));
  if (!fd) throw_errno(step);
  return fd;
}

UniqueFd walk(int root, const std::vector<std::string>& steps) {
  UniqueFd dir = open_step(root, ".", dir_flags);
  for (const std::string& step : steps) dir = open_step(dir.get(), step, dir_flags);
  return dir;
}

struct Leaf {
  UniqueFd dir;
  std::string name;
};

Leaf walk_to_leaf(int root, std::string_view path) {
  auto steps = steps_of(path);
  if (steps.empty()) throw Error(MVM_ERR_INVALID, "path: names no file");
  std::string name = std::move(steps.back());
  steps.pop_back();
  return {walk(root, steps), std::move(name)};
}

char type_of(mode_t mode) {
  if (S_ISREG(mode)) return 'f';
  if (S_ISDIR(mode)) return 'd';
  return S_ISLNK(mode) ? 'l' : 'o';
}

std::string temporary_name() {
  static std::atomic<uint64_t> number{0};
  return ".mvm-write-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
}

}  // namespace

NewFile::NewFile(UniqueFd dir, std::string leaf)
    : dir_(std::move(dir)), leaf_(std::move(leaf)), temporary_(temporary_name()) {
  file_ =
      UniqueFd(::openat(dir_.get(), temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file_) throw_errno(leaf_);
}

NewFile::~NewFile() {
  if (file_) ::unlinkat(dir_.get(), temporary_.c_str(), 0);
}

void NewFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(leaf_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void NewFile::commit() {
  if (::renameat(dir_.get(), temporary_.c_str(), dir_.get(), leaf_.c_str()) != 0) throw_errno(leaf_);
  file_.reset();
}

SharedDir::SharedDir(const v1::Share& share)
    : share_(share), root_(::open(share.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) throw_errno("share " + share.tag() + ": " + share.path());
}

std::vector<DirEntry> SharedDir::list(std::string_view path) const {
  UniqueFd fd = walk(root_.get(), steps_of(path));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd.get()), &::closedir);
  if (!dir) throw_errno(std::string(path));
  fd.release();
  std::vector<DirEntry> entries;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    struct stat info {};
    if (name == "." || name == "..") continue;
    if (::fstatat(::dirfd(dir.get()), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    entries.push_back({type_of(info.st_mode), S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0, name});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

UniqueFd SharedDir::open_file(std::string_view path, uint64_t& size) const {
  const Leaf leaf = walk_to_leaf(root_.get(), path);
  // O_NONBLOCK: a FIFO must not hold the loop up.
  UniqueFd file = open_step(leaf.dir.get(), leaf.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) throw_errno(leaf.name);
  if (!S_ISREG(info.st_mode)) throw Error(MVM_ERR_INVALID, leaf.name + ": is not a regular file");
  size = static_cast<uint64_t>(info.st_size);
  return file;
}

NewFile SharedDir::create(std::string_view path) const {
  if (share_.read_only()) throw Error(MVM_ERR_DENIED, "read-only");
  Leaf leaf = walk_to_leaf(root_.get(), path);
  return {std::move(leaf.dir), std::move(leaf.name)};
}

void Shares::add(const v1::Share& share) {
  if (share.tag().empty() || share.tag().size() > max_tag_bytes) {
    throw Error(MVM_ERR_INVALID, "share \"" + share.tag() + "\": a tag has 1 to 35 bytes");
  }
  if (!share.path().starts_with('/')) {
    throw Error(MVM_ERR_INVALID, "share " + share.tag() + ": \"" + share.path() + "\" is not an absolute path");
  }
  if (shares_.contains(share.tag())) throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": this tag is in use");
  shares_.emplace(share.tag(), SharedDir(share));
}

void Shares::remove(const std::string& tag) {
  if (shares_.erase(tag) == 0) throw Error(MVM_ERR_NOT_FOUND, "share " + tag + ": no such tag is shared");
}

const SharedDir& Shares::at(const std::string& tag) const {
  const auto found = shares_.find(tag);
  if (found == shares_.end()) throw Error(MVM_ERR_NOT_FOUND, "share " + tag + ": no such tag is shared");
  return found->second;
}

std::vector<v1::Share> Shares::in_force() const {
  std::vector<v1::Share> all;
  for (const auto& [tag, dir] : shares_) all.push_back(dir.share());
  return all;
}

}  // namespace mvm::mock
