// SPDX-License-Identifier: Apache-2.0
#include "share/share_namespace.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mvm::qemu {
namespace {

constexpr rlim_t max_open_files = 262144;

#if defined(__x86_64__)
constexpr unsigned native_calls = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned native_calls = AUDIT_ARCH_AARCH64;
#else
#error "the audit architecture (linux/audit.h) of this processor is missing here"
#endif

// errno, after the words.
int failed(const char* what) noexcept {
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(2, what, std::strlen(what));
  return error;
}

int write_file(const char* path, std::string_view text) noexcept {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failed(path);
  const int error = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : failed(path);
  ::close(fd);
  return error;
}

// The daemon in C (since CVE-2022-0358) and early ones in Rust give up when they cannot leave the supplementary groups.
// A user namespace of a single id may not (user_namespaces(7): setgroups is denied for good), and it need not: a guest
// gets nowhere in these groups that this user could not get to. So setgroups is answered here with a yes, and does
// nothing.
int answer_setgroups() noexcept {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native_calls, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_setgroups, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ? 0 : failed("setgroups filter");
}

// A clone of the working directory's mounts, as far as they lie below it, mounted nowhere yet. No propagation: what the
// host mounts below later would arrive writable.
int clone_mounts(bool read_only) noexcept {
  const int tree = ::open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return -failed("open_tree");
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0U);
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0) return tree;
  return -failed("mount_setattr");
}

int mount_here(int tree, const char* target) noexcept {
  if (::move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0) return failed(target);
  ::close(tree);
  return ::chdir("/") == 0 ? 0 : failed("/");
}

// Runs fn in a child; what that returns, or EINTR if it was killed.
int in_child(int (*fn)() noexcept) noexcept {
  const pid_t pid = ::_Fork();
  if (pid < 0) return failed("fork");
  if (pid == 0) ::_exit(fn());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int mount_proc() noexcept {
  if (::mount("proc", "/proc", "proc", MS_NODEV | MS_NOEXEC | MS_NOSUID, nullptr) == 0) return 0;
  return failed("mount of /proc");
}

// Only a PID namespace's first process can mount its /proc.
int make_sandbox() noexcept {
  if (::unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) != 0) return failed("PID and network namespace");
  return in_child(mount_proc);
}

}  // namespace

ShareNamespace::ShareNamespace(Privilege privilege)
    : privilege_(privilege),
      uid_map_("0 " + std::to_string(::geteuid()) + " 1\n"),
      gid_map_("0 " + std::to_string(::getegid()) + " 1\n") {}

int ShareNamespace::enter_user_namespace() const noexcept {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return failed("user namespace");
  if (const int error = write_file("/proc/self/setgroups", "deny")) return error;
  if (const int error = write_file("/proc/self/uid_map", uid_map_)) return error;
  if (const int error = write_file("/proc/self/gid_map", gid_map_)) return error;
  return answer_setgroups();
}

int ShareNamespace::enter(int directory, const char* target, bool read_only) const noexcept {
  // A descriptor's mount stays in the old namespace, and cannot be cloned from the new one. The working directory moves
  // along (copy_mnt_ns in the kernel's fs/namespace.c).
  if (::fchdir(directory) != 0) return failed("shared directory");
  ::close(directory);
  if (privilege_ == Privilege::user_namespace) {
    if (const int error = enter_user_namespace()) return error;
  } else if (::unshare(CLONE_NEWNS) != 0) {
    return failed("mount namespace");
  }
  // Nothing of ours shows on the host, and what is unmounted there is not held here.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return failed("mount propagation");
  const int tree = clone_mounts(read_only);
  return tree < 0 ? -tree : mount_here(tree, target);
}

// In a child: who has a PID namespace waiting for its children can have no threads any more.
int ShareNamespace::try_sandbox() noexcept { return in_child(make_sandbox); }

int limit_open_files() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return failed("open files");
  const rlimit wanted{max_open_files, max_open_files};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return 0;
  limit.rlim_cur = std::min(limit.rlim_max, max_open_files);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : failed("open files");
}

}  // namespace mvm::qemu
