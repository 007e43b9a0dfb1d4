// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include "doctor/findings.hpp"

#include <sys/utsname.h>

#include "base/format.hpp"

namespace mvm::host {

// What a hypervisor takes here (/dev/kvm, programs, namespaces) its plugin knows.
Findings check_system() {
  utsname names{};
  ::uname(&names);
  return {finding(Verdict::ok, "system", formatted("{} {}, {}", names.sysname, names.release, names.machine))};
}

}  // namespace mvm::host
#endif
