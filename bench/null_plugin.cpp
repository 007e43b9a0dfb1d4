// SPDX-License-Identifier: Apache-2.0
#include "null_hypervisor.hpp"

MVM_PLUGIN(mvm::bench::NullHypervisor, "null", "1.0", "the benchmarks")
