// SPDX-License-Identifier: Apache-2.0
// What GNUstep's Foundation.h and Apple's Block.h declare of the blocks' run time; runtime/blocks.m is it.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif
void* _Block_copy(const void*);
void _Block_release(const void*);
#ifdef __cplusplus
}
#endif

#ifndef Block_copy
#define Block_copy(...) ((__typeof(__VA_ARGS__))_Block_copy((const void*)(__VA_ARGS__)))
#define Block_release(...) _Block_release((const void*)(__VA_ARGS__))
#endif
