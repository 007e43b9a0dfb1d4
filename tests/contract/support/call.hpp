// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "check/call.hpp"
#include "contract/support/subject.hpp"
