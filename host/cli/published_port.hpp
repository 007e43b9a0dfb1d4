// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/parse.hpp"

#include "mvm/host/record.pb.h"

namespace mvm::host {

// What was typed, for the runner, which stands elsewhere: a Unix socket's path is made absolute.
pb::PublishedPort published_port(const PortPair& typed);

}  // namespace mvm::host
