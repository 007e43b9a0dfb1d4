// SPDX-License-Identifier: Apache-2.0
// A clone of a sparse image beside cp at its best. Both end with the data on the disk: `cp` and then `sync FILE`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "disk/disk_copy.hpp"
#include "measure.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::bench;

namespace {

namespace fs = std::filesystem;

constexpr off_t image_bytes = off_t{8} << 30;
constexpr int extents = 256;
constexpr size_t extent_bytes = 1 << 20;

void make_image(const fs::path& path) {
  const UniqueFd fd = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!fd || ::ftruncate(fd.get(), image_bytes) != 0) give_up(path);
  std::vector<char> data(extent_bytes);
  uint32_t random = 1;
  for (int i = 0; i < extents; ++i) {
    for (char& byte : data) byte = static_cast<char>((random = random * 1664525 + 1013904223) >> 24);
    const off_t at = i * (image_bytes / extents) + (i % 7) * 4096;
    if (::pwrite(fd.get(), data.data(), data.size(), at) != static_cast<ssize_t>(data.size())) give_up(path);
  }
  if (::fsync(fd.get()) != 0) give_up(path);
}

long long blocks_of(const fs::path& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) give_up(path);
  return s.st_blocks;
}

// One of the copies, removed before the next is made.
Entrant copier(const std::string& name, const fs::path& copy, long long& blocks, std::function<void()> work) {
  return {name, std::move(work), [&blocks, copy] {
            blocks = blocks_of(copy);
            fs::remove(copy);
          }};
}

}  // namespace

// mvm-clone-bench DIR [ROUNDS]: in DIR, whose file system is what is measured.
int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: mvm-clone-bench DIR [ROUNDS]\n");
    return 2;
  }
  std::string scratch = std::string(argv[1]) + "/mvm-clone-bench-XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) give_up(scratch);
  const fs::path image = fs::path(scratch) / "image";
  const fs::path copy = fs::path(scratch) / "copy";
  make_image(image);
  long long ours = 0;
  long long theirs = 0;
  long long whole = 0;
  CopyReport report;
  std::vector<Entrant> all;
  all.push_back(copier("mvmhost's clone", copy, ours, [&] {
    const auto copied = copy_disk(image, copy, false, {});
    if (!copied) give_up(copied.error().message);
    report = *copied;
  }));
  all.push_back(copier("cp --reflink=auto --sparse=always, sync", copy, theirs, [&] {
    must_run({"cp", "--reflink=auto", "--sparse=always", image, copy});
    must_run({"sync", copy});
  }));
  all.push_back(copier("cp --reflink=auto, sync", copy, whole, [&] {
    must_run({"cp", "--reflink=auto", image, copy});
    must_run({"sync", copy});
  }));
  in_turn(all, argc > 2 ? std::max(1, std::atoi(argv[2])) : 9);
  print_in_turn("clone of 8 GiB with 256 MiB of data", all);
  std::printf("  by %s; MiB allocated: image %lld, mvmhost %lld, cp --sparse=always %lld, cp %lld\n",
              report.method == CopyMethod::clone ? "reflink" : "data extents", blocks_of(image) / 2048, ours / 2048,
              theirs / 2048, whole / 2048);
  fs::remove_all(scratch);
  return 0;
}
