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
#include "net/chksum.h"

uint16_t net_chksum(const void *data, int len)
{
	return chksum_bytes(data, len);
}

uint16_t net_chksum_copy(void *dst, const void *src, uint16_t len)
{
	/* Two passes, the second over lines that the first has just brought in: a merged loop would
	 * have to mix the word stream of two alignments and saves one load per word. */
	if (((uintptr_t)dst | (uintptr_t)src) & 7 || len < 8) {
		memcpy(dst, src, len);
		return net_chksum(dst, len);
	}

	chksum_word *d = dst;
	const chksum_word *s = src;
	size_t n = len;
	uint64_t sum = 0;

	for (; n >= 32; n -= 32, s += 4, d += 4) {
		uint64_t a = s[0], b = s[1], c = s[2], e = s[3];

		d[0] = a;
		d[1] = b;
		d[2] = c;
		d[3] = e;
		sum = chksum_add(sum, a);
		sum = chksum_add(sum, b);
		sum = chksum_add(sum, c);
		sum = chksum_add(sum, e);
	}
	for (; n >= 8; n -= 8) {
		uint64_t a = *s++;

		*d++ = a;
		sum = chksum_add(sum, a);
	}
	if (n) {
		uint64_t a = 0;

		memcpy(&a, s, n);
		memcpy(d, &a, n);
		sum = chksum_add(sum, a);
	}
	return chksum_fold(sum);
}
