// SPDX-License-Identifier: Apache-2.0
#define MVM_STATIC_ASSERT(condition, text) static_assert(condition, text)
#include "layout.inc"
