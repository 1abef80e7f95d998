/*
 * Does the stack say on the wire what RFC 9293 says, on the short ways in and out as on lwIP's own,
 * and does nothing that a hostile wire says break it or leak a buffer? (kernel/net/: netif, flow,
 * flow_send; a hand-made peer on a made-up card, virtual time)
 */
#include "unit/lib/netcard.h"
#include "unit/lib/wire.h"

#include "lwip/priv/tcp_priv.h"
#include "net/lwip/arch/cc.h"
#include "net/socket.h"
#include "uapi/errno.h"

#define MEMORY_BYTES (1u << 20)
#define OUR_IP 0x0a00020fu
#define PEER_IP 0x0a000202u
#define BACKLOG 200

/* ---- the peer -------------------------------------------------------------------------------- */

struct peer {
	uint16_t port;
	uint32_t seq, ack; /* next to send, next expected */
	uint32_t window;
};

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static uint32_t segment_make(uint8_t *f, const struct peer *p, uint32_t seq, unsigned flags,
			     const void *data, uint32_t n)
{
	uint8_t *ip = f + 14, *t = ip + 20;

	memcpy(f, card.mac, 6);
	memcpy(f + 6, peer_mac, 6);
	put16(f + 12, 0x0800);
	memset(ip, 0, 40);
	ip[0] = 0x45;
	put16(ip + 2, 40 + n);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, PEER_IP);
	put32(ip + 16, OUR_IP);
	put16(ip + 10, ~sum_of(ip, 20, 0));
	put16(t, p->port);
	put16(t + 2, 7);
	put32(t + 4, seq);
	put32(t + 8, flags & ACK ? p->ack : 0);
	t[12] = 0x50;
	t[13] = (uint8_t)flags;
	put16(t + 14, p->window);
	if (n)
		memmove(t + 20, data, n);
	put16(t + 16, ~tcp_sum(ip, 20 + n));
	return 54 + n;
}

static void peer_says_at(struct peer *p, uint32_t seq, unsigned flags, const void *data, uint32_t n)
{
	uint8_t f[1600];
	uint32_t len = segment_make(f, p, seq, flags, data, n);

	assert_true(arrive(f, len));
}

static void peer_says(struct peer *p, unsigned flags, const void *data, uint32_t n)
{
	peer_says_at(p, p->seq, flags, data, n);
	p->seq += n + !!(flags & (SYN | FIN));
}

static void arp_answer(const uint8_t *f)
{
	uint8_t a[60] = { 0 };

	if (get16(f + 20) != 1 || get32(f + 38) != PEER_IP)
		return;
	memcpy(a, card.mac, 6);
	memcpy(a + 6, peer_mac, 6);
	memcpy(a + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", 10);
	memcpy(a + 22, peer_mac, 6);
	put32(a + 28, PEER_IP);
	memcpy(a + 32, card.mac, 6);
	put32(a + 38, OUR_IP);
	assert_true(arrive(a, 60));
}

struct heard {
	unsigned flags;
	uint32_t seq, ack, len, window;
	const uint8_t *data;
};

static unsigned looked; /* frames of `sent` the peer has looked at */

/* The next TCP segment to `p`, every checksum verified; questions for the peer's address are
 * answered on the way. */
static bool peer_hears(struct peer *p, struct heard *h)
{
	while (looked < sent_count) {
		const uint8_t *f = sent[looked].bytes + 2, *ip = f + 14, *t = ip + 20;
		uint32_t total;

		looked++;
		if (get16(f + 12) == 0x0806) {
			arp_answer(f);
			continue;
		}
		if (get16(f + 12) != 0x0800 || ip[9] != 6 || get16(t + 2) != p->port)
			continue;
		total = get16(ip + 2);
		assert_memory_equal(f, peer_mac, 6);
		assert_memory_equal(f + 6, card.mac, 6);
		assert_int_equal(get32(ip + 12), OUR_IP);
		assert_int_equal(get32(ip + 16), PEER_IP);
		assert_int_equal(sum_of(ip, 20, 0), 0xffff);
		assert_int_equal(tcp_sum(ip, total - 20), 0xffff);
		*h = (struct heard){ .flags = t[13],
				     .seq = get32(t + 4),
				     .ack = get32(t + 8),
				     .len = total - 20 - (t[12] >> 4) * 4u,
				     .window = get16(t + 14),
				     .data = t + (t[12] >> 4) * 4 };
		return true;
	}
	looked = sent_count = 0;
	return false;
}

static void peer_deaf(void)
{
	looked = sent_count = 0;
}

/* ---- our side -------------------------------------------------------------------------------- */

static struct aspace *as;
static uaddr_t memory;
static struct sock *listener;

static struct sock *take(void)
{
	struct file *f;

	assert_int_equal(sock_accept(listener, 0, &f), 0);
	file_handle_add(f);
	file_put(f);
	return sock_of(f);
}

static void nodelay(struct sock *s)
{
	int32_t on = 1;

	assert_int_equal(sock_option_set(s, SOL_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
}

static struct sock *handshake(struct peer *p, uint16_t port)
{
	struct heard h;

	*p = (struct peer){ .port = port, .seq = 0xfffffff0u - port, .window = 30000 };
	peer_says(p, SYN, NULL, 0);
	turns(2);
	if (!peer_hears(p, &h)) { /* it had to ask for our address first */
		turns(2);
		assert_true(peer_hears(p, &h));
	}
	assert_int_equal(h.flags, SYN | ACK);
	assert_int_equal(h.ack, p->seq);
	p->ack = h.seq + 1;
	peer_says(p, ACK, NULL, 0);
	turns(2);
	return take();
}

static void store(uint32_t at, const void *data, uint32_t n)
{
	assert_int_equal(user_write(as, memory + at, data, n), 0);
}

static void assert_recv(struct sock *s, const void *want, uint32_t n)
{
	uint8_t got[2048];

	assert_true(sock_has_data(s));
	assert_int_equal(sock_recv_span(s, as, memory, 2048), n);
	assert_int_equal(user_read(as, memory, got, n), 0);
	assert_memory_equal(got, want, n);
}

static void assert_nothing(struct sock *s)
{
	turns(2);
	assert_int_equal(sock_can_recv(s), -EAGAIN);
}

/* Reset by the peer; everything comes home. */
static void finish(struct peer *p, struct sock *s)
{
	peer_says(p, RST, NULL, 0);
	turns(2);
	file_handle_drop(&s->file);
	turns(2);
	peer_deaf();
	assert_int_equal(net_socks_alive(), 1);
	assert_int_equal(kept_count(), 0);
}

/* ---- questions ------------------------------------------------------------------------------- */

/*
 * Messages of many lengths there and back: right bytes, right numbers, the acknowledgement rides on
 * the answer. The peer's SYN names no segment size, so 536 is the most it may be sent at once (RFC
 * 9293, section 3.7.1).
 */
static void test_echo(void **state)
{
	uint8_t data[536];
	struct peer p;
	struct sock *s = handshake(&p, 1001);
	struct heard h;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (uint32_t n = 1; n <= sizeof(data); n += n < 70 ? 1 : 58) {
		peer_says(&p, ACK | PSH, data, n);
		assert_recv(s, data, n);
		store(8, data, n);
		assert_int_equal(sock_send_span(s, as, memory + 8 + (n & 1), n), n);
		assert_true(peer_hears(&p, &h));
		assert_int_equal(h.len, n);
		assert_int_equal(h.seq, p.ack);
		assert_int_equal(h.ack, p.seq);
		assert_memory_equal(h.data, data + (n & 1), n - (n & 1));
		p.ack += n;
		assert_false(peer_hears(&p, &h));
		turns(1);
	}
	finish(&p, s);
}

/* Damaged checksums, wrong addresses, cut frames: as if nothing had come. */
static void test_unsound(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1002);
	uint8_t f[1600];

	(void)state;
	for (unsigned at = 12; at < 54 + 10; at++) {
		uint32_t len = segment_make(f, &p, p.seq, ACK | PSH, "0123456789", 10);

		f[at] ^= 0x10;
		assert_true(arrive(f, len));
		assert_nothing(s);
	}
	for (uint32_t len = 0; len < 64; len++) {
		segment_make(f, &p, p.seq, ACK | PSH, "0123456789", 10);
		assert_true(arrive(f, len));
		assert_nothing(s);
	}
	peer_says(&p, ACK | PSH, "0123456789", 10);
	assert_recv(s, "0123456789", 10);
	finish(&p, s);
}

/* Out of order, twice, overlapping: the program reads each byte once and in order. */
static void test_disorder(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1003);
	struct heard h;

	(void)state;
	peer_says_at(&p, p.seq + 5, ACK | PSH, "56789", 5);
	assert_nothing(s);
	peer_says_at(&p, p.seq + 2, ACK | PSH, "234567", 6);
	assert_nothing(s);
	while (peer_hears(&p, &h))
		assert_int_equal(h.ack, p.seq);
	peer_says_at(&p, p.seq, ACK | PSH, "01234", 5);
	turns(2);
	assert_int_equal(sock_can_recv(s), 10);
	assert_int_equal(sock_recv_span(s, as, memory, 5), 5);
	assert_recv(s, "56789", 5);
	peer_says_at(&p, p.seq, ACK | PSH, "0123456789", 10);
	assert_nothing(s);
	p.seq += 10;
	while (peer_hears(&p, &h))
		assert_int_equal(h.ack, p.seq);
	finish(&p, s);
}

/* What the peer does not acknowledge is said again, and once acknowledged never again. */
static void test_retransmission(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1004);
	unsigned said = 0;
	struct heard h;

	(void)state;
	store(0, "once more", 9);
	assert_int_equal(sock_send_span(s, as, memory, 9), 9);
	for (unsigned i = 0; i < 600 && said < 3; i++) {
		time_passes(20);
		while (peer_hears(&p, &h)) {
			assert_int_equal(h.seq, p.ack);
			assert_int_equal(h.len, 9);
			assert_memory_equal(h.data, "once more", 9);
			said++;
		}
	}
	assert_int_equal(said, 3);
	assert_int_equal(sock_unsent(s), 9);
	p.ack += 9;
	peer_says(&p, ACK, NULL, 0);
	turns(2);
	assert_int_equal(sock_unsent(s), 0);
	time_passes(5000);
	assert_false(peer_hears(&p, &h));
	finish(&p, s);
}

/* The peer's window bounds what is under way; when it opens the rest follows; so does what found no
 * transmit buffer. */
static void test_window(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1005);
	uint32_t got = 0;
	struct heard h;

	(void)state;
	nodelay(s);
	p.window = 1000;
	peer_says(&p, ACK | PSH, "w", 1);
	assert_recv(s, "w", 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(sock_send_span(s, as, memory, 500), 500);
	turns(2);
	while (peer_hears(&p, &h))
		got += h.len;
	assert_int_equal(got, 1000);
	p.ack += 1000;
	p.window = 3000;
	tx_full = true;
	peer_says(&p, ACK, NULL, 0);
	turns(2);
	assert_false(peer_hears(&p, &h));
	tx_full = false;
	card.tx_room(&card);
	turns(2);
	while (peer_hears(&p, &h))
		got += h.len;
	assert_int_equal(got, 2000);
	p.ack += 1000;
	peer_says(&p, ACK, NULL, 0);
	turns(2);
	assert_int_equal(sock_unsent(s), 0);
	finish(&p, s);
}

/* Nagle: a second small piece waits for the first one's acknowledgement, unless TCP_NODELAY says
 * otherwise. */
static void test_nagle(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1006);
	struct heard h;

	(void)state;
	assert_int_equal(sock_send_span(s, as, memory, 10), 10);
	assert_int_equal(sock_send_span(s, as, memory, 10), 10);
	assert_true(peer_hears(&p, &h));
	assert_false(peer_hears(&p, &h));
	p.ack += 10;
	peer_says(&p, ACK, NULL, 0);
	assert_true(peer_hears(&p, &h));
	assert_int_equal(h.seq, p.ack);
	nodelay(s);
	assert_int_equal(sock_send_span(s, as, memory, 10), 10);
	assert_true(peer_hears(&p, &h));
	assert_int_equal(h.seq, p.ack + 10);
	p.ack += 20;
	peer_says(&p, ACK, NULL, 0);
	finish(&p, s);
}

/* Few device buffers left: frames are copied, none is kept, nothing is lost. A program that does
 * not read holds at most the window. */
static void test_starvation(void **state)
{
	struct peer p;
	struct sock *s = handshake(&p, 1007);
	uint8_t data[1000];
	uint32_t total = 0;

	(void)state;
	memset(data, 'd', sizeof(data));
	rx_free_claim = 1;
	for (unsigned i = 0; i < 20; i++, total += sizeof(data))
		peer_says(&p, ACK | PSH, data, sizeof(data));
	assert_int_equal(kept_count(), 0);
	rx_free_claim = 0;
	for (unsigned i = 0; i < 200; i++, total += sizeof(data))
		peer_says(&p, ACK | PSH, data, sizeof(data));
	assert_true(s->queued >= 60000 && s->queued <= 65535);
	assert_true(kept_count() <= BUFFERS * 3 / 4 + 1);
	finish(&p, s);
}

/*
 * A peer that takes a port again while our side still waits (we closed first): a SYN beyond what
 * was received begins anew (RFC 1122, section 4.2.2.13), an old duplicate or a damaged one does
 * not.
 */
static void test_port_again(void **state)
{
	struct peer p, again;
	struct sock *s = handshake(&p, 1008);
	struct heard h;
	uint8_t f[60];
	uint32_t len;

	(void)state;
	file_handle_drop(&s->file);
	turns(2);
	assert_true(peer_hears(&p, &h));
	assert_int_equal(h.flags & FIN, FIN);
	p.ack = h.seq + 1;
	peer_says(&p, FIN | ACK, NULL, 0);
	turns(2);
	peer_deaf();
	again = (struct peer){ .port = p.port, .seq = p.seq - 1000, .window = 30000 };
	peer_says(&again, SYN, NULL, 0);
	turns(2);
	assert_true(peer_hears(&again, &h));
	assert_int_equal(h.flags, ACK); /* the old connection speaks */
	again.seq = p.seq + 1000;
	len = segment_make(f, &again, again.seq, SYN, NULL, 0);
	f[50] ^= 0x10;
	assert_true(arrive(f, len));
	turns(2);
	assert_false(peer_hears(&again, &h));
	again.seq = p.seq - 999;
	peer_says(&again, SYN, NULL, 0);
	turns(2);
	assert_true(peer_hears(&again, &h)); /* still waiting: the damaged one changed nothing */
	assert_int_equal(h.flags, ACK);
	again.seq = p.seq + 1000;
	peer_says(&again, SYN, NULL, 0);
	turns(2);
	assert_true(peer_hears(&again, &h));
	assert_int_equal(h.flags, SYN | ACK);
	assert_int_equal(h.ack, again.seq);
	again.ack = h.seq + 1;
	peer_says(&again, ACK | PSH, "new", 3);
	turns(2);
	s = take();
	assert_recv(s, "new", 3);
	finish(&again, s);
}

/* What if somebody sends more SYNs than the backlog holds, and nothing else? An honest peer gets in
 * after a second; one that came before them is not pushed out by a burst. */
static void test_half_open(void **state)
{
	struct peer p;
	struct sock *s;

	struct peer early = { .port = 1010, .seq = 5, .window = 30000 };
	struct heard h;

	(void)state;
	peer_says(&early, SYN, NULL, 0);
	turns(2);
	assert_true(peer_hears(&early, &h));
	early.ack = h.seq + 1;
	for (unsigned i = 0; i < 2 * BACKLOG; i++) {
		p = (struct peer){ .port = (uint16_t)(20000 + i), .seq = i, .window = 30000 };
		peer_says(&p, SYN, NULL, 0);
		turns(1);
		peer_deaf();
	}
	peer_says(&early, ACK | PSH, "early", 5);
	turns(2);
	s = take();
	assert_recv(s, "early", 5);
	finish(&early, s);
	time_passes(1600);
	peer_deaf();
	s = handshake(&p, 1009);
	peer_says(&p, ACK | PSH, "hello", 5);
	assert_recv(s, "hello", 5);
	finish(&p, s);
	time_passes(120000);
	peer_deaf();
}

/* A piece of an IPv6 packet, eight bytes of it. */
static void piece6_says(uint32_t id, uint32_t off_more, const void *eight)
{
	static const uint8_t ours[16] = { 0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 1 };
	static const uint8_t theirs[16] = { 0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 2 };
	uint8_t f[70] = { 0 };

	memcpy(f, card.mac, 6);
	memcpy(f + 6, peer_mac, 6);
	put16(f + 12, 0x86dd);
	f[14] = 0x60;
	put16(f + 18, 16);
	f[20] = 44;
	f[21] = 64;
	memcpy(f + 22, theirs, 16);
	memcpy(f + 38, ours, 16);
	f[54] = 44;
	put16(f + 56, off_more);
	put32(f + 58, id);
	memcpy(f + 62, eight, 8);
	assert_true(arrive(f, sizeof(f)));
	turns(1);
}

/* What if the pieces of a packet make a piece of a packet? Nothing comes of it. (lwIP asserts.) */
static void test_piece_of_pieces(void **state)
{
	(void)state;
	time_passes(3000); /* our IPv6 address is ours */
	piece6_says(1, 0 | 1, "\x06\0\0\x09\0\0\0\x02");
	piece6_says(1, 8, "12345678");
	time_passes(70000);
	peer_deaf();
	assert_int_equal(kept_count(), 0);
}

/* What if somebody on the wire says that he is we ourselves, at 127.0.0.1? Nobody answers. */
static void test_martian(void **state)
{
	struct peer p = { .port = 1011, .seq = 5, .window = 30000 };
	uint8_t f[60];
	uint32_t len = segment_make(f, &p, p.seq, SYN, NULL, 0);

	(void)state;
	put32(f + 26, 0x7f000001);
	put16(f + 24, 0);
	put16(f + 24, ~sum_of(f + 14, 20, 0));
	put16(f + 50, 0);
	put16(f + 50, ~tcp_sum(f + 14, 20));
	assert_true(arrive(f, len));
	turns(4);
	assert_null(tcp_active_pcbs);
}

static uint32_t fuzz_seed = 1;

static uint32_t fuzz(uint32_t below)
{
	fuzz_seed = fuzz_seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)fuzz_seed * below >> 32);
}

/* Anything at all: segments near the truth, with repaired checksums, and noise. */
static void test_hostile_wire(void **state)
{
	struct sock *s;
	struct peer p;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		s = handshake(&p, (uint16_t)(2000 + round));
		for (unsigned i = 0; i < 400; i++) {
			uint8_t f[1600];
			uint32_t n = fuzz(4) ? fuzz(40) : fuzz(1460), len;

			for (uint32_t b = 0; b < sizeof(f); b++)
				f[b] = (uint8_t)fuzz(256);
			len = segment_make(f, &p, p.seq + (fuzz(3) ? 0 : fuzz(70000) - 35000),
					   fuzz(8) ? ACK | PSH : fuzz(64), f + 60, n);
			put32(f + 42, p.ack + (fuzz(3) ? 0 : fuzz(70000) - 35000));
			for (uint32_t b = fuzz(4); b; b--)
				f[fuzz(4) ? 12 + fuzz(50) : fuzz(len)] = (uint8_t)fuzz(256);
			if (fuzz(2)) { /* sound again */
				put16(f + 24, 0);
				put16(f + 24, ~sum_of(f + 14, 20, 0));
				put16(f + 50, 0);
				put16(f + 50, ~tcp_sum(f + 14, len - 34));
			}
			if (!arrive(f, fuzz(10) ? len : fuzz(len + 1)))
				while (sock_has_data(s) && sock_recv_span(s, as, memory, 65536) > 0)
					;
			if (!fuzz(5) && sock_send_span(s, as, memory, 1 + fuzz(3000)) < 0)
				turns(1);
			if (!fuzz(20))
				time_passes(300);
			if (sent_count > SENT_MAX / 2)
				peer_deaf();
		}
		file_handle_drop(&s->file);
		peer_deaf();
		time_passes(1000);
	}
	time_passes(400000); /* the longest anything half-done may stay */
	while (sock_can_recv(listener) == 0)
		;
	for (;;) {
		struct file *f;

		if (sock_accept(listener, 0, &f))
			break;
		file_put(f);
	}
	peer_deaf();
	assert_int_equal(net_socks_alive(), 1);
	assert_int_equal(kept_count(), 0);
}

static int setup(void **state)
{
	struct sock_name any = { .len = sizeof(struct sockaddr_in),
				 .in4 = { .sin_family = AF_INET,
					  .sin_port = __builtin_bswap16(7) } };
	struct file *f;

	(void)state;
	if (netcard_boot() || sock_create(AF_INET, SOCK_STREAM, 0, &f))
		return -1;
	file_handle_add(f);
	file_put(f);
	listener = sock_of(f);
	if (sock_bind(listener, &any) || sock_listen(listener, BACKLOG))
		return -1;
	turns(4);
	peer_deaf();
	as = aspace_create();
	return !as || aspace_map_anon(as, 0, MEMORY_BYTES, ACCESS_READ | ACCESS_WRITE, 0, &memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),       cmocka_unit_test(test_unsound),
		cmocka_unit_test(test_disorder),   cmocka_unit_test(test_retransmission),
		cmocka_unit_test(test_window),     cmocka_unit_test(test_nagle),
		cmocka_unit_test(test_starvation), cmocka_unit_test(test_port_again),
		cmocka_unit_test(test_half_open),  cmocka_unit_test(test_piece_of_pieces),
		cmocka_unit_test(test_martian),	   cmocka_unit_test(test_hostile_wire),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
