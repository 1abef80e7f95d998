/*
 * depth: the order in which blocks are read, the same on both systems (bench/guest/read.c,
 * bench/peer/guest/depth.c). Owns nothing.
 */
#ifndef BENCH_DEPTH_H
#define BENCH_DEPTH_H

#include <stdint.h>

#define DEPTH_BLOCK 4096u
#define DEPTH_MAX   256u

struct depth_order {
	uint64_t state, blocks;
};

static inline void depth_order_init(struct depth_order *order, uint64_t bytes)
{
	order->state = 1;
	order->blocks = bytes / DEPTH_BLOCK;
}

/* Offset of the next block: a linear congruence (Knuth, MMIX), its better half. */
static inline uint64_t depth_next(struct depth_order *order)
{
	order->state = order->state * 6364136223846793005u + 1442695040888963407u;
	return (order->state >> 33) % order->blocks * DEPTH_BLOCK;
}

#endif
