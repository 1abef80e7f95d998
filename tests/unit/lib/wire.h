/*
 * wire: numbers and checksums as frames hold them, written independently of the stack's own.
 */
#ifndef UNIT_LIB_WIRE_H
#define UNIT_LIB_WIRE_H

#include <stdint.h>

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* The Internet checksum's sum (RFC 1071), not yet inverted, of `n` bytes on top of `sum`. */
static inline uint32_t sum_of(const uint8_t *p, uint32_t n, uint32_t sum)
{
	for (; n > 1; n -= 2, p += 2)
		sum += get16(p);
	if (n)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The same over a TCP segment of `len` bytes and its pseudo header; `ip`: no options. */
static inline uint32_t tcp_sum(const uint8_t *ip, uint32_t len)
{
	return sum_of(ip + 20, len, sum_of(ip + 12, 8, 6 + len));
}

#endif
