/*
 * What if the wire says anything at all? Valid traffic of every protocol the stack knows, and
 * mutations of it: damaged, cut, longer than they say, in pieces that overlap, with right checksums
 * and wrong ones, twice, late; while a program accepts, reads, writes and closes.
 *
 * Nothing crashes; every frame the stack sends is sound; afterwards an honest peer is served, and
 * when all is closed nothing is in use. Each seed has a machine of its own (a process), so SEED=n
 * replays it exactly; SEEDS=n tries the first n.
 */
#include "unit/lib/netcard.h"
#include "unit/lib/wire.h"
#include "unit/net_fuzz_parts/packets.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/socket.h"
#include "uapi/errno.h"

#define SEEDS_DEFAULT 60u
#define STEPS 400u
#define FRAME_MAX 1514u
#define SOCKS 16u
#define MEMORY_BYTES (1u << 18)

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* ---- what becomes of them -------------------------------------------------------------------- */

/* A hop-by-hop, routing or destination header in between (RFC 8200, section 4); IPv4 options. */
static void insert_header(struct packet *p)
{
	static const uint8_t kinds[] = { 0, 43, 60, 51, 44 };
	uint32_t n = 8 * (1 + below(3)), at = head_of(p);

	if (p->len < at || p->len + n > sizeof(p->f))
		return;
	memmove(p->f + at + n, p->f + at, p->len - at);
	noise(p->f + at, n);
	if (is_v6(p)) {
		p->f[at] = p->f[20];
		p->f[at + 1] = (uint8_t)(below(4) ? n / 8 - 1 : below(256));
		p->f[20] = kinds[below(sizeof(kinds))];
		put16(p->f + 18, get16(p->f + 18) + n);
	} else if (get16(p->f + 12) == 0x0800) {
		p->f[14] = (uint8_t)(0x45 + n / 4);
		put16(p->f + 16, get16(p->f + 16) + n);
		put16(p->f + 24, 0);
		put16(p->f + 24, ~sum_of(p->f + 14, 20 + n, 0));
	}
	p->len += n;
}

static void mutate(struct packet *p)
{
	uint32_t at = below(4) ? below(p->len < 100 ? p->len : 100) : below(p->len);
	static const uint16_t edges[] = { 0, 1, 7, 8, 19, 20, 40, 0x7fff, 0x8000, 0xfff8, 0xffff };

	switch (below(8)) {
	case 0:
		p->f[at] ^= (uint8_t)(1u << below(8));
		return;
	case 1:
		p->f[at] = (uint8_t)below(256);
		return;
	case 2: /* cut */
		p->len = 1 + below(p->len);
		return;
	case 3: /* longer than it says */
		at = below(600);
		if (p->len + at <= sizeof(p->f)) {
			noise(p->f + p->len, at);
			p->len += at;
		}
		return;
	case 4:
		if (at + 2 <= p->len)
			put16(p->f + at, edges[below(sizeof(edges) / sizeof(edges[0]))]);
		return;
	case 5: /* a length field */
		put16(p->f + (is_v6(p) ? 18 : 16),
		      below(2) ? below(65536) : p->len - 14 + below(9) - 4);
		return;
	case 6:
		insert_header(p);
		return;
	default:
		memmove(p->f + at, p->f + p->len / 2, below(p->len - at < p->len / 2 ? p->len - at :
										       p->len / 2));
	}
}

static void program_reads(void);

static void deliver(const uint8_t *f, uint32_t len)
{
	for (unsigned i = 0; !arrive(f, len > 2030 ? 2030 : len) && i < 4; i++)
		program_reads();
}

/* In pieces; some overlap, are missing, or come first. */
static void deliver_split(const struct packet *p)
{
	bool v6 = is_v6(p);
	uint32_t head = head_of(p), data = p->len - head, id = below(20);
	uint32_t step = 8 * (1 + below(180));

	for (uint32_t i = 0; i * step < data; i++) {
		uint32_t k = below(8) ? i : below(data / step + 1), at = k * step;
		uint32_t n = data - at < step ? data - at : step;
		bool more = at + n < data;
		struct packet q = { .len = head };

		if (!below(30))
			continue;
		if (at && !below(15)) {
			at -= 8;
			n += 8;
		}
		memcpy(q.f, p->f, head);
		if (v6) {
			q.f[54] = q.f[20];
			q.f[20] = 44;
			put16(q.f + 56, at | more);
			put32(q.f + 58, id);
			q.len = 62;
			put16(q.f + 18, 8 + n);
		} else {
			put16(q.f + 16, 20 + n);
			put16(q.f + 18, id);
			put16(q.f + 20, at / 8 | (more ? 0x2000u : 0));
			put16(q.f + 24, 0);
			put16(q.f + 24, ~sum_of(q.f + 14, 20, 0));
		}
		memcpy(q.f + q.len, p->f + head + at, n);
		q.len += n;
		if (!below(20))
			mutate(&q);
		deliver(q.f, q.len);
	}
}

static void packet_any(struct packet *p)
{
	switch (below(10)) {
	case 0:
		packet_udp(p);
		return;
	case 1:
		packet_icmp(p);
		return;
	case 2:
		packet_nd(p);
		return;
	case 3:
		packet_arp(p);
		return;
	default:
		packet_tcp(p);
	}
}

static void frame_arrives(void)
{
	struct packet p;
	bool ip;

	packet_any(&p);
	if (below(3)) {
		for (unsigned i = 1 + below(3); i; i--)
			mutate(&p);
		if (below(2))
			make_sound(&p);
	}
	ip = p.len >= 54 && (is_v6(&p) || get16(p.f + 12) == 0x0800);
	if (ip && p.len > 54 + 8 && (p.len > FRAME_MAX || !below(8)))
		deliver_split(&p);
	else
		deliver(p.f, p.len);
	if (!below(10))
		deliver(p.f, p.len);
	if (held.len && !below(4)) {
		deliver(held.f, held.len);
		held.len = 0;
	}
	if (!below(10))
		held = p;
}

/* ---- what the stack says --------------------------------------------------------------------- */

static void answer_arp(const uint8_t *f)
{
	struct packet a;

	packet_arp(&a);
	a.f[21] = 2;
	memcpy(a.f + 28, f + 38, 4);
	deliver(a.f, a.len);
}

static void answer_nd(const uint8_t *f)
{
	struct packet a;

	ip_begin(&a, true, 58, 32);
	a.f[54] = 136;
	a.f[58] = 0x60;
	memcpy(a.f + 22, f + 62, 16);
	memcpy(a.f + 62, f + 62, 16);
	a.f[78] = 2;
	a.f[79] = 1;
	memcpy(a.f + 80, peer_mac, 6);
	make_sound(&a);
	deliver(a.f, a.len);
}

static void hear_tcp(const uint8_t *t)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (conns[i].port == get16(t + 2)) {
			uint32_t next = get32(t + 4) + !!(t[13] & (SYN | FIN));

			if (t[13] & SYN || !below(3))
				conns[i].ack = next;
			if (t[13] & ACK && below(4))
				conns[i].seq = get32(t + 8);
		}
}

/* Is it as the standards want it? Then whom does it concern? */
static void hear_one(const uint8_t *f, uint32_t len)
{
	uint32_t type, head, n, part;
	unsigned proto;
	bool v6;

	check(len >= 35 && len <= FRAME_MAX);
	check(!memcmp(f + 6, card.mac, 6));
	type = get16(f + 12);
	if (type == 0x0806) {
		if (get16(f + 20) == 1 && below(8))
			answer_arp(f);
		return;
	}
	check(type == 0x0800 || type == 0x86dd);
	v6 = type == 0x86dd;
	head = v6 ? 54 : 14 + (f[14] & 15) * 4u; /* an echo comes back with its options */
	check(f[14] >> 4 == (v6 ? 6 : 4) && head >= 34 && head <= len);
	n = v6 ? get16(f + 18) : get16(f + 16) - (head - 14);
	check(n <= len - head);
	proto = f[v6 ? 20 : 23];
	part = v6 ? 0 : get16(f + 20) & 0x3fff;
	if (!v6)
		check(sum_of(f + 14, head - 14, 0) == 0xffff);
	if (part || proto == 44)
		return; /* a piece has no sum of its own */
	if (proto == 1)
		check(sum_of(f + head, n, 0) == 0xffff);
	else
		check(transport_sum(f, head, n, proto, v6) == 0xffff ||
		      (proto == 17 && !get16(f + head + 6)));
	if (proto == 6)
		hear_tcp(f + head);
	else if (proto == 58 && f[54] == 135 && below(8))
		answer_nd(f);
}

static void hear_all(void)
{
	static uint8_t copy[1600];

	for (unsigned i = 0; i < sent_count; i++) {
		uint32_t len = sent[i].len;

		memcpy(copy, sent[i].bytes + 2, len);
		hear_one(copy, len);
	}
	sent_count = 0;
}

/* ---- the program ----------------------------------------------------------------------------- */

static struct aspace *as;
static uaddr_t memory;
static struct sock *listener, *dgrams, *socks[SOCKS];

static void program_closes(unsigned i)
{
	struct sock *s = socks[i];

	socks[i] = NULL;
	file_handle_drop(&s->file);
}

static void program_accepts(void)
{
	struct file *f;
	unsigned i = below(SOCKS);

	if (sock_accept(listener, 0, &f))
		return;
	file_handle_add(f);
	file_put(f);
	if (socks[i])
		program_closes(i);
	socks[i] = sock_of(f);
}

static void dgram_echoes(void)
{
	struct sock_name from;
	struct iovec v = { .iov_base = (void *)(uintptr_t)memory, .iov_len = 4096 };
	struct sock_io io = { .as = as, .iov = &v, .count = 1, .name = &from };
	int64_t n = sock_recv(dgrams, &io);

	if (n < 0)
		return;
	v.iov_len = (size_t)n;
	io = (struct sock_io){ .as = as, .iov = &v, .count = 1, .name = &from };
	n = sock_send(dgrams, &io);
	(void)n; /* whoever it was may be out of reach */
}

static void program_reads(void)
{
	for (unsigned i = 0; i < SOCKS; i++)
		while (socks[i] && sock_has_data(socks[i]) &&
		       sock_recv_span(socks[i], as, memory, 1 + below(8000)) > 0)
			;
	while (sock_can_recv(dgrams) > 0)
		dgram_echoes();
}

static void program_acts(void)
{
	struct sock *s = socks[below(SOCKS)];
	int64_t n = 0;

	switch (below(8)) {
	case 0:
	case 1:
		program_accepts();
		return;
	case 2:
		program_reads();
		return;
	case 3:
		for (unsigned i = 0; i < SOCKS; i++)
			if (socks[i] && socks[i] == s)
				program_closes(i);
		return;
	case 4:
		if (s)
			n = sock_shutdown(s, (int)below(3));
		break;
	default:
		if (s && sock_can_recv(s) != -ENOTCONN)
			n = sock_send_span(s, as, memory, 1 + below(below(3) ? 100 : 20000));
	}
	(void)n; /* refused is as good as done */
}

/* ---- one seed -------------------------------------------------------------------------------- */

static struct sock *socket_at(int type, uint16_t port)
{
	struct sock_name any = { .len = sizeof(struct sockaddr_in6),
				 .in6 = { .sin6_family = AF_INET6,
					  .sin6_port = __builtin_bswap16(port) } };
	struct file *f;

	check(sock_create(AF_INET6, type, 0, &f) == 0);
	file_handle_add(f);
	file_put(f);
	check(sock_bind(sock_of(f), &any) == 0);
	return sock_of(f);
}

/* An honest peer comes, says something and is heard. */
static void honest_peer(bool v6)
{
	struct conn *c = &conns[0];
	struct packet p;
	bool heard = false;

	for (unsigned i = 0; i < SOCKS; i++)
		if (socks[i])
			program_closes(i);
	time_passes(3000);
	memset(conns, 0, sizeof(conns));
	for (unsigned tries = 0; tries < 20 && !heard; tries++) {
		packet_arp(&p);
		p.f[21] = 2;
		put32(p.f + 28, 0x0a000202);
		deliver(p.f, p.len);
		*c = (struct conn){ .v6 = v6, .port = (uint16_t)(5000 + tries), .seq = 77 };
		make_tcp(&p, c, SYN, 0);
		deliver(p.f, p.len);
		for (unsigned i = 0; i < 20; i++) {
			time_passes(100);
			hear_all();
		}
		if (!c->ack)
			continue;
		c->seq = 78;
		make_tcp(&p, c, ACK, 0);
		deliver(p.f, p.len);
		make_tcp(&p, c, ACK | PSH, 100);
		deliver(p.f, p.len);
		for (unsigned i = 0; i < 300; i++) /* behind whatever is in the backlog */
			program_accepts();
		for (unsigned i = 0; i < SOCKS; i++)
			heard |= socks[i] && sock_can_recv(socks[i]) >= 100;
	}
	check(heard);
}

static void run(uint32_t seed)
{
	random_state = seed * 0x2545f4914f6cdd1dull;
	check(netcard_boot() == 0);
	listener = socket_at(SOCK_STREAM, 7);
	check(sock_listen(listener, 100) == 0);
	dgrams = socket_at(SOCK_DGRAM, 9);
	as = aspace_create();
	check(as && !aspace_map_anon(as, 0, MEMORY_BYTES, ACCESS_READ | ACCESS_WRITE, 0, &memory));
	time_passes(3000); /* our IPv6 address is ours */
	hear_all();
	for (unsigned i = 0; i < STEPS; i++) {
		rx_free_claim = below(20) ? 0 : 1;
		tx_full = !below(40);
		frame_arrives();
		if (!below(3))
			program_acts();
		tx_full = false;
		if (!below(40)) {
			card.tx_room(&card);
			time_passes(below(2) ? 300 : 3000);
		} else {
			turns(1);
		}
		hear_all();
	}
	rx_free_claim = 0;
	card.tx_room(&card);
	honest_peer(false);
	honest_peer(true);
	for (unsigned i = 0; i < SOCKS; i++)
		if (socks[i])
			program_closes(i);
	file_handle_drop(&listener->file);
	file_handle_drop(&dgrams->file);
	turns(4);
	check(net_stop() == 0);
	check(kept_count() == 0);
}

static bool passes(uint32_t seed)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (!child) {
		alarm(60); /* an endless loop is a failure, too */
		run(seed);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (!status)
		return true;
	if (WIFSIGNALED(status))
		printf("FAIL frames of all kinds: signal %d (SEED=%u replays it)\n",
		       WTERMSIG(status), seed);
	else
		printf("FAIL frames of all kinds: status %d (SEED=%u replays it)\n",
		       WEXITSTATUS(status), seed);
	return false;
}

int main(void)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	uint32_t first = one && *one ? (uint32_t)strtoul(one, NULL, 10) : 1;
	uint32_t count = many && *many ? (uint32_t)strtoul(many, NULL, 10) : SEEDS_DEFAULT;

	if (one && *one)
		count = 1;
	for (uint32_t i = 0; i < count; i++)
		if (!passes(first + i))
			return 1;
	printf("ok frames of all kinds, %u seeds\n", count);
	return 0;
}
