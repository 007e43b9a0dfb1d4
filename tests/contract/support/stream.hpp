// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "check/stream.hpp"
#include "contract/support/subject.hpp"
