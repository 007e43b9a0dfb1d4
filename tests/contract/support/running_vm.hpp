// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "check/running_vm.hpp"
#include "contract/support/subject.hpp"
