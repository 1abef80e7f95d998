/*
 * chksum: the sum behind net_chksum (arch/cc.h) where a call would cost as much as the sum. See
 * chksum.c. No state, any core.
 */
#ifndef NET_CHKSUM_H
#define NET_CHKSUM_H

#include "arch/cc.h"
#include "base/types.h"

typedef uint64_t __attribute__((may_alias)) chksum_word;

static inline uint64_t chksum_add(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

/* Adding a number to itself with its halves exchanged leaves the sum of the halves, carry included,
 * in the upper one. */
static inline uint16_t chksum_fold(uint64_t sum)
{
	uint32_t half;

	sum += sum << 32 | sum >> 32;
	half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

/* Whole aligned words that hold at least one byte of the data are read; they share its page and its
 * cache line. */
static inline __attribute__((no_sanitize("address"))) uint16_t chksum_bytes(const void *data,
									    int len)
{
	uintptr_t at = (uintptr_t)data, end = at + (uintptr_t)len;
	const chksum_word *w = (const chksum_word *)(at & ~(uintptr_t)7);
	const chksum_word *last = (const chksum_word *)((end - 1) & ~(uintptr_t)7);
	uint64_t head = ~0ull << (at & 7) * 8, tail = ~0ull >> (-end & 7) * 8;
	uint64_t sum;
	uint16_t folded;

	if (unlikely(len <= 0))
		return 0;
	sum = *w & head;
	if (w == last) {
		sum &= tail;
	} else {
		for (w++; last - w >= 4; w += 4) {
			sum = chksum_add(sum, w[0]);
			sum = chksum_add(sum, w[1]);
			sum = chksum_add(sum, w[2]);
			sum = chksum_add(sum, w[3]);
		}
		for (; w < last; w++)
			sum = chksum_add(sum, *w);
		sum = chksum_add(sum, *last & tail);
	}
	folded = chksum_fold(sum);
	return at & 1 ? net_swap16(folded) : folded;
}

#endif
