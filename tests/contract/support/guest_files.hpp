// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "check/guest_files.hpp"
#include "contract/support/subject.hpp"
