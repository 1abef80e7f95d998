/*
 * moves: what tests of moving threads share: how often threads have moved so far.
 */
#ifndef TESTS_ABI_MOVES_H
#define TESTS_ABI_MOVES_H

#include "tests/abi/lib/text.h"

/* Of all programs, since boot; -1: the kernel does not say. */
static inline int64_t moves_so_far(void)
{
	return text_counter("thread_moves");
}

#endif
