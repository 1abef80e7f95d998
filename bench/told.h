/*
 * told: what the two programs that measure how one is told of a message share (bench/guest/told.c,
 * bench/peer/guest/told.c): the page between sender and receiver, and what is said of the
 * latencies. Owns nothing.
 */
#ifndef BENCH_TOLD_H
#define BENCH_TOLD_H

#include <stdint.h>

#define TOLD_MAX 4096u /* messages of one measurement */

/* Marks for the counting plugin: a message is about to be sent, and was seen. */
#define TOLD_MARK_SENT 0x40
#define TOLD_MARK_SEEN 0x41

struct told {
	uint64_t number __attribute__((aligned(64))); /* of the newest message; the sender's */
	uint64_t sent;				      /* when it was sent, in ticks of the clock */
	uint64_t seen __attribute__((aligned(64)));   /* the receiver's */
	uint64_t ready;
	uint64_t took[TOLD_MAX]; /* the receiver's: ticks from sent to seen, by message */
};

/* Sorts the first `count`, in place. */
static inline void told_sort(uint64_t *took, uint32_t count)
{
	for (uint32_t gap = count / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < count; i++)
			for (uint32_t j = i; j >= gap && took[j - gap] > took[j]; j -= gap) {
				uint64_t other = took[j];

				took[j] = took[j - gap];
				took[j - gap] = other;
			}
}

#endif
