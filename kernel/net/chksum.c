/*
 * chksum: the Internet checksum (RFC 1071) eight bytes at a time, alone and while copying. lwIP calls it through arch/cc.h.
 *
 * No state, any core. Sums run over aligned 64-bit words whatever the address; the bytes in front of the first word are placed where an
 * aligned load would have them, and a sum that began at an odd address is swapped at the end (RFC 1071, section 2 (B)).
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

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffffu);
	sum = (sum >> 32) + (sum & 0xffffffffu);
	sum = (sum >> 16) + (sum & 0xffffu);
	sum = (sum >> 16) + (sum & 0xffffu);
	return (uint16_t)((sum >> 16) + (sum & 0xffffu));
}

/* 0 to 7 bytes, never reading outside them. */
static inline uint64_t load_tail(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint16_t net_chksum(const void *data, int len)
{
	const uint8_t *p = data;
	size_t n = (size_t)len;
	unsigned lead = (unsigned)(-(uintptr_t)p & 7);
	uint64_t sum;
	bool odd = (uintptr_t)p & 1;
	const word *w;

	if (n < 8) {
		sum = load_tail(p, (unsigned)n);
		return fold(sum);
	}
	/* The lead is placed at the top of its word, where it would be in an aligned load. */
	sum = lead ? load_tail(p, lead) << (8 * (8 - lead)) : 0;
	p += lead;
	n -= lead;
	w = (const word *)(const void *)p;
	for (; n >= 32; n -= 32, w += 4) {
		sum = add_carry(sum, w[0]);
		sum = add_carry(sum, w[1]);
		sum = add_carry(sum, w[2]);
		sum = add_carry(sum, w[3]);
	}
	for (; n >= 8; n -= 8)
		sum = add_carry(sum, *w++);
	if (n)
		sum = add_carry(sum, load_tail((const uint8_t *)w, (unsigned)n));
	return odd ? net_swap16(fold(sum)) : fold(sum);
}

uint16_t net_chksum_copy(void *dst, const void *src, uint16_t len)
{
	/* Two passes, the second over lines that the first has just brought in: a merged loop would have to mix the word stream of
	 * two alignments and saves one load per word. */
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
		const uint8_t *from = (const uint8_t *)s;
		uint8_t *to = (uint8_t *)d;

		sum = add_carry(sum, load_tail(from, (unsigned)n));
		for (unsigned i = 0; i < n; i++)
			to[i] = from[i];
	}
	return fold(sum);
}
