/*
 * packets: sound traffic, drawn at random, of every protocol the stack knows. `conns` is what the
 * wire believes about its connections. net_fuzz.c includes this once, behind netcard.h and wire.h.
 */
#ifndef UNIT_NET_FUZZ_PACKETS_H
#define UNIT_NET_FUZZ_PACKETS_H

#include "unit/lib/netcard.h"
#include "unit/lib/wire.h"

#define CONNS 8u

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull; /* splitmix64, as tests/peer has it */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((z >> 32) * n >> 32);
}

struct packet {
	uint8_t f[4096];
	uint32_t len;
};

struct conn {
	bool v6;
	uint16_t port;
	uint32_t seq, ack;
};

static const uint8_t our_ip6[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1 };
static const uint8_t peer_ip6[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 2 };
static struct conn conns[CONNS];
static struct packet held;

static bool is_v6(const struct packet *p)
{
	return get16(p->f + 12) == 0x86dd;
}

static uint32_t head_of(const struct packet *p)
{
	return is_v6(p) ? 54 : 34;
}

/* The sum over the transport's part and its pseudo header; 0xffff: sound. */
static uint32_t transport_sum(const uint8_t *f, uint32_t head, uint32_t n, unsigned proto, bool v6)
{
	return sum_of(f + head, n, sum_of(f + (v6 ? 22 : 26), v6 ? 32 : 8, proto + n));
}

static uint32_t sum_place(unsigned proto)
{
	return proto == 6 ? 16 : proto == 17 ? 6 : proto == 1 || proto == 58 ? 2 : 0;
}

/* Lengths and checksums as they ought to be, for what is in the frame. */
static void make_sound(struct packet *p)
{
	uint32_t head = head_of(p), n, at;
	unsigned proto;

	if (p->len < head || (!is_v6(p) && get16(p->f + 12) != 0x0800))
		return;
	n = p->len - head;
	proto = p->f[is_v6(p) ? 20 : 23];
	at = sum_place(proto);
	if (is_v6(p)) {
		put16(p->f + 18, n);
	} else {
		put16(p->f + 16, 20 + n);
		put16(p->f + 24, 0);
		put16(p->f + 24, ~sum_of(p->f + 14, 20, 0));
	}
	if (proto == 17 && n >= 8)
		put16(p->f + head + 4, n);
	if (!at || n < at + 2)
		return;
	put16(p->f + head + at, 0);
	if (proto == 1)
		put16(p->f + head + at, ~sum_of(p->f + head, n, 0));
	else
		put16(p->f + head + at, ~transport_sum(p->f, head, n, proto, is_v6(p)));
}

static void ip_begin(struct packet *p, bool v6, unsigned proto, uint32_t n)
{
	memset(p->f, 0, sizeof(p->f));
	memcpy(p->f, card.mac, 6);
	memcpy(p->f + 6, peer_mac, 6);
	put16(p->f + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		p->f[14] = 0x60;
		p->f[20] = (uint8_t)proto;
		p->f[21] = 255;
		memcpy(p->f + 22, peer_ip6, 16);
		memcpy(p->f + 38, our_ip6, 16);
	} else {
		p->f[14] = 0x45;
		put16(p->f + 18, below(65536));
		p->f[22] = 64;
		p->f[23] = (uint8_t)proto;
		put32(p->f + 26, 0x0a000202);
		put32(p->f + 30, 0x0a00020f);
	}
	p->len = head_of(p) + n;
}

static void noise(uint8_t *at, uint32_t n)
{
	while (n--)
		*at++ = (uint8_t)below(256);
}

static void make_tcp(struct packet *p, struct conn *c, unsigned flags, uint32_t n)
{
	uint32_t options = flags & SYN && below(2) ? 8 : 0;
	uint8_t *t;

	ip_begin(p, c->v6, 6, 20 + options + n);
	t = p->f + head_of(p);
	put16(t, c->port);
	put16(t + 2, 7);
	put32(t + 4, c->seq);
	put32(t + 8, flags & ACK ? c->ack : 0);
	t[12] = (uint8_t)(0x50 + options * 4);
	t[13] = (uint8_t)flags;
	put16(t + 14, below(3) ? 30000 : below(2000));
	if (options)
		memcpy(t + 20, "\2\4\5\xb4\3\3\2\0", 8);
	noise(t + 20 + options, n);
	make_sound(p);
	c->seq += n + !!(flags & SYN) + !!(flags & FIN);
}

static void packet_tcp(struct packet *p)
{
	struct conn *c = &conns[below(CONNS)];
	unsigned kind = below(16);

	if (!c->port || kind == 0) {
		*c = (struct conn){ .v6 = below(2),
				    .port = (uint16_t)(1024 + below(300)),
				    .seq = below(UINT32_MAX) };
		make_tcp(p, c, SYN, 0);
		return;
	}
	make_tcp(p, c, kind == 1 ? FIN | ACK : kind == 2 ? RST : ACK | PSH,
		 kind < 5 ? 0 : below(2) ? below(100) : below(1400));
}

/* To the bound port, or to none; 4,000 bytes go out in pieces. */
static void packet_udp(struct packet *p)
{
	uint32_t n = below(3) ? below(200) : below(3900);

	ip_begin(p, below(2), 17, 8 + n);
	put16(p->f + head_of(p), 4000);
	put16(p->f + head_of(p) + 2, below(4) ? 9 : below(3) ? 68 : below(65536));
	noise(p->f + head_of(p) + 8, n);
	make_sound(p);
}

static void packet_icmp(struct packet *p)
{
	bool v6 = below(2);
	uint32_t n = below(2) ? below(100) : below(3900);
	uint8_t *t;

	ip_begin(p, v6, v6 ? 58 : 1, 8 + n);
	t = p->f + head_of(p);
	noise(t + 4, 4 + n);
	t[0] = (uint8_t)(below(4) ? v6 ? 128 : 8 : below(256));
	make_sound(p);
}

/* Neighbour and router messages of RFC 4861 with their options. */
static void packet_nd(struct packet *p)
{
	/* types 133 to 137, without options */
	static const uint8_t bodies[] = { 4, 12, 20, 20, 36 };
	uint32_t type = below(5), n = 4 + bodies[type];
	uint8_t *t;

	ip_begin(p, true, 58, n + 8);
	t = p->f + 54;
	t[0] = (uint8_t)(133 + type);
	if (type == 1)
		put32(t + 4, 64u << 24 | below(3600)), put32(t + 8, below(100000));
	else if (type == 3)
		t[4] = (uint8_t)(below(8) << 5);
	if (type > 1)
		memcpy(t + 8, type == 2 ? our_ip6 : peer_ip6, 16);
	t[n] = (uint8_t)(type == 0 || type == 2 ? 1 : 2);
	t[n + 1] = 1;
	memcpy(t + n + 2, peer_mac, 6);
	if (type == 1 && below(2)) { /* a prefix, and a size of packets */
		p->len += 40;
		memcpy(t + n + 8, "\3\4\x40\xc0\0\0\x0e\x10\0\0\x07\x08\0\0\0\0\x20\1\x0d\xb8", 20);
		memcpy(t + n + 40, "\5\1\0\0\0\0\5\xdc", 8);
	}
	if (below(2)) { /* to all nodes, or to our group */
		memset(p->f + 38, 0, 16);
		p->f[38] = 0xff;
		p->f[39] = 2;
		p->f[53] = 1;
		memcpy(p->f, "\x33\x33\0\0\0\1", 6);
	}
	make_sound(p);
}

static void packet_arp(struct packet *p)
{
	memset(p->f, 0, 60);
	memcpy(p->f, card.mac, 6);
	memcpy(p->f + 6, peer_mac, 6);
	memcpy(p->f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00", 9);
	p->f[21] = (uint8_t)(1 + below(2));
	memcpy(p->f + 22, peer_mac, 6);
	put32(p->f + 28, 0x0a000200 + (below(2) ? 2 : below(256)));
	memcpy(p->f + 32, card.mac, 6);
	put32(p->f + 38, 0x0a00020f);
	p->len = 60;
}

#endif
