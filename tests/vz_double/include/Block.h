// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <objc/blocks_runtime.h>
