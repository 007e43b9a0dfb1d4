// SPDX-License-Identifier: Apache-2.0
#include "libvirt_session.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>

#include <unistd.h>

#include "measure.hpp"

namespace mvm::bench {
namespace {

namespace fs = std::filesystem;

constexpr unsigned nobody = 65534;

void write_domain(const fs::path& directory) {
  std::ofstream(directory / "domain.xml")
      << "<domain type='qemu'><name>bench</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>"
         "<os><type arch='x86_64' machine='q35'>hvm</type><kernel>"
      << (directory / "kernel").native() << "</kernel><initrd>" << (directory / "initrd").native()
      << "</initrd><cmdline>console=ttyS0</cmdline></os><features><acpi/></features>"
         "<devices><serial type='file'><source path='"
      << (directory / "console.log").native() << "'/></serial></devices></domain>\n";
}

void make_readable(const fs::path& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (::chown(entry.path().c_str(), nobody, nobody) != 0) give_up(entry.path());
  }
  if (::chown(directory.c_str(), nobody, nobody) != 0) give_up(directory);
}

}  // namespace

bool LibvirtSession::available() {
  return in_path("virsh") && fs::exists("/usr/sbin/libvirtd") && in_path("setpriv") && in_path("qemu-system-x86_64");
}

LibvirtSession::LibvirtSession(const fs::path& kernel, const fs::path& initrd) {
  std::string place = directory_;
  if (::mkdtemp(place.data()) == nullptr) give_up(place);
  directory_ = place;
  fs::create_directory(directory_ / "run");
  fs::permissions(directory_ / "run", fs::perms::owner_all);
  fs::copy_file(kernel, directory_ / "kernel");
  fs::copy_file(initrd, directory_ / "initrd");
  write_domain(directory_);
  if (::geteuid() == 0) make_readable(directory_);
  must_run(virsh("define " + (directory_ / "domain.xml").string()));
}

LibvirtSession::~LibvirtSession() {
  run(virsh("undefine bench"));
  std::ifstream in(directory_ / "run" / "libvirt" / "libvirtd.pid");
  pid_t daemon = 0;
  if (in >> daemon && daemon > 1) ::kill(daemon, SIGTERM);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::vector<std::string> LibvirtSession::virsh(const std::string& commands) const {
  std::vector<std::string> all;
  if (::geteuid() == 0) {
    const std::string user = std::to_string(nobody);
    all = {"setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"};
  }
  all.insert(all.end(), {"env", "HOME=" + directory_.string(), "XDG_RUNTIME_DIR=" + (directory_ / "run").string(),
                         "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "virsh", "-q", "-c", "qemu:///session", commands});
  return all;
}

}  // namespace mvm::bench
