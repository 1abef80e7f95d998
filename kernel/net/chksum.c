/*
 * chksum: the Internet checksum (RFC 1071) eight bytes at a time, alone and while copying. lwIP
 * calls it through arch/cc.h.
 *
 * No state, any core. Sums run over aligned 64-bit words whatever the address: bytes of the first
 * and last word that are not the data's are masked off, and a sum that began at an odd address is
 * swapped at the end (RFC 1071, section 2 (B)).
 */
#include <string.h>

#include "arch/cc.h"
#include "base/types.h"

typedef uint64_t __attribute__((may_alias)) word;

static inline uint64_t add_carry(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

/* Adding a number to itself with its halves exchanged leaves the sum of the halves, carry included,
 * in the upper one. */
static inline uint16_t fold(uint64_t sum)
{
	uint32_t half;

	sum += sum << 32 | sum >> 32;
	half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

/* Whole aligned words that hold at least one byte of the data are read; they share its page and its
 * cache line. */
__attribute__((no_sanitize("address"))) uint16_t net_chksum(const void *data, int len)
{
	uintptr_t at = (uintptr_t)data, end = at + (uintptr_t)len;
	const word *w = (const word *)(at & ~(uintptr_t)7);
	const word *last = (const word *)((end - 1) & ~(uintptr_t)7);
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
			sum = add_carry(sum, w[0]);
			sum = add_carry(sum, w[1]);
			sum = add_carry(sum, w[2]);
			sum = add_carry(sum, w[3]);
		}
		for (; w < last; w++)
			sum = add_carry(sum, *w);
		sum = add_carry(sum, *last & tail);
	}
	folded = fold(sum);
	return at & 1 ? net_swap16(folded) : folded;
}

uint16_t net_chksum_copy(void *dst, const void *src, uint16_t len)
{
	/* Two passes, the second over lines that the first has just brought in: a merged loop would
	 * have to mix the word stream of two alignments and saves one load per word. */
	if (((uintptr_t)dst | (uintptr_t)src) & 7 || len < 8) {
		memcpy(dst, src, len);
		return net_chksum(dst, len);
	}

	word *d = dst;
	const word *s = src;
	size_t n = len;
	uint64_t sum = 0;

	for (; n >= 32; n -= 32, s += 4, d += 4) {
		uint64_t a = s[0], b = s[1], c = s[2], e = s[3];

		d[0] = a;
		d[1] = b;
		d[2] = c;
		d[3] = e;
		sum = add_carry(sum, a);
		sum = add_carry(sum, b);
		sum = add_carry(sum, c);
		sum = add_carry(sum, e);
	}
	for (; n >= 8; n -= 8) {
		uint64_t a = *s++;

		*d++ = a;
		sum = add_carry(sum, a);
	}
	if (n) {
		uint64_t a = 0;

		memcpy(&a, s, n);
		memcpy(d, &a, n);
		sum = add_carry(sum, a);
	}
	return fold(sum);
}
