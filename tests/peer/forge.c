/*
 * forge: frames that no honest stack sends: resets beside the mark, SYNs of hosts that do not
 * exist, packets in pieces that overlap or are never whole, and the answers of those hosts.
 *
 * None of it may end an honest connection: a reset must carry the very next number (RFC 5961,
 * section 3.2), and a packet that was split is said again if its pieces do not fit.
 */
#include <string.h>

#include "lwip/inet_chksum.h"
#include "lwip/priv/tcp_priv.h"
#include "peer.h"
#include "unit/lib/wire.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static const uint8_t forged_mac[6] = { 0x52, 0x54, 0, 0, 0, 2 };

static void ethernet_put(uint8_t *f, unsigned type)
{
	memcpy(f, link_guest_mac, 6);
	memcpy(f + 6, forged_mac, 6);
	put16(f + 12, type);
}

/* An IPv4 TCP segment without data, from 10.0.2.`host`. */
static void segment_send(unsigned host, uint32_t ports, uint32_t seq, uint32_t ack, unsigned flags)
{
	uint8_t f[60] = { 0 }, *ip = f + 14, *t = ip + 20;

	ethernet_put(f, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, 40);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, 0x0a000200u | host);
	put32(ip + 16, 0x0a00020fu);
	put16(ip + 10, ~sum_of(ip, 20, 0));
	put32(t, ports);
	put32(t + 4, seq);
	put32(t + 8, ack);
	t[12] = 0x50;
	t[13] = (uint8_t)flags;
	put16(t + 14, 8192);
	put16(t + 16, ~tcp_sum(ip, 20));
	link_inject(f, 60);
}

/* In the window or far away, never exact. */
static void reset_beside(const struct tcp_pcb *pcb)
{
	uint32_t off = peer_chance(500) ? 1 + peer_below(4000) : 0x20000000u + peer_below(1u << 30);

	if (IP_IS_V4_VAL(pcb->remote_ip))
		segment_send(2, (uint32_t)pcb->local_port << 16 | pcb->remote_port,
			     pcb->snd_nxt + off, pcb->rcv_nxt, peer_chance(500) ? RST : RST | ACK);
}

/* A SYN in the middle of a connection asks for a challenge, too (RFC 5961, section 4.2). */
static void syn_beside(const struct tcp_pcb *pcb)
{
	if (IP_IS_V4_VAL(pcb->remote_ip))
		segment_send(2, (uint32_t)pcb->local_port << 16 | pcb->remote_port, peer_random(),
			     0, SYN);
}

static void flood(void)
{
	static uint64_t next;

	if (peer_ms() < next)
		return;
	next = peer_ms() + 50;
	for (unsigned i = peer_below(40); i; i--)
		segment_send(FORGED_FIRST + peer_below(100),
			     (1024 + peer_below(60000)) << 16 | ECHO_PORT, peer_random(), 0, SYN);
}

void forge_turn(void)
{
	const struct tcp_pcb *pcb;

	if (!peer_chance(link_now->forge))
		return;
	if (peer_chance(200)) {
		flood();
		return;
	}
	pcb = clients_any();
	if (!pcb)
		return;
	if (peer_chance(800))
		reset_beside(pcb);
	else
		syn_beside(pcb);
}

/* ---- hosts that do not exist ----------------------------------------------------------------- */

static bool is_forged(uint32_t ip)
{
	return ip >> 8 == 0x0a0002 && (ip & 0xff) >= FORGED_FIRST;
}

static void arp_answer(const uint8_t *q)
{
	uint8_t a[60] = { 0 };

	ethernet_put(a, 0x0806);
	memcpy(a + 14, "\x00\x01\x08\x00\x06\x04\x00\x02", 8);
	memcpy(a + 22, forged_mac, 6);
	memcpy(a + 28, q + 38, 4);
	memcpy(a + 32, q + 22, 10);
	link_inject(a, 60);
}

bool forge_heard(const uint8_t *f, uint32_t len)
{
	const uint8_t *ip = f + 14, *t = ip + 20;

	if (len >= 42 && get16(f + 12) == 0x0806 && is_forged(get32(f + 38))) {
		if (get16(f + 20) == 1)
			arp_answer(f);
		return true;
	}
	if (len < 54 || get16(f + 12) != 0x0800 || !is_forged(get32(ip + 16)))
		return false;
	/* some say that they know nothing of it, some never answer, some acknowledge and fall
	 * silent */
	if (t[13] == (SYN | ACK) && peer_chance(600))
		segment_send(get32(ip + 16) & 0xff, get16(t + 2) << 16 | get16(t), get32(t + 8),
			     get32(t + 4) + 1, peer_chance(980) ? RST : ACK);
	return true;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void piece4(const uint8_t *f, uint32_t from, uint32_t n, bool more)
{
	uint8_t p[FRAME_MAX];

	memcpy(p, f, 34);
	memcpy(p + 34, f + 34 + from, n);
	put16(p + 16, 20 + n);
	put16(p + 20, from / 8 | (more ? 0x2000u : 0));
	put16(p + 24, 0);
	put16(p + 24, ~sum_of(p + 14, 20, 0));
	link_inject(p, 34 + n);
}

static void piece6(const uint8_t *f, uint32_t from, uint32_t n, bool more, uint32_t id)
{
	uint8_t p[FRAME_MAX];

	memcpy(p, f, 54);
	p[54] = f[20];
	p[55] = 0;
	put16(p + 56, from | more);
	put32(p + 58, id);
	memcpy(p + 62, f + 54 + from, n);
	p[20] = 44; /* fragment header, RFC 8200, section 4.5 */
	put16(p + 18, 8 + n);
	link_inject(p, 62 + n);
}

bool forge_split(const uint8_t *frame, uint32_t len)
{
	static uint16_t id;
	uint8_t f[FRAME_MAX];
	bool v6 = get16(frame + 12) == 0x86dd;
	uint32_t head = v6 ? 54 : 34, data, step, left;

	if (len < head + 20 || (!v6 && (frame[14] != 0x45 || frame[23] != 6)) ||
	    (v6 && frame[20] != 6))
		return false;
	memcpy(f, frame, len);
	data = v6 ? get16(f + 18) : get16(f + 16) - 20;
	if (data < 24 || head + data > len)
		return false;
	id++;
	if (!v6)
		put16(f + 18, id);
	step = 8 * (1 + peer_below(data / 16 + 1));
	for (uint32_t at = 0; at < data; at += step) {
		uint32_t n = data - at < step ? data - at : step;
		uint32_t back = at && peer_chance(50) ? 8 : 0;

		left = data - at - n;
		if (head + 8 + n + back > FRAME_MAX || peer_chance(20))
			continue; /* never to be whole */
		if (v6)
			piece6(f, at - back, n + back, left, id);
		else
			piece4(f, at - back, n + back, left);
	}
	return true;
}
