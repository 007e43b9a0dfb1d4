/* SPDX-License-Identifier: Apache-2.0 */
#define MVM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#include "layout.inc"
