/*
 * Do two sockets of one stack talk to each other as POSIX says: data whole and in order,
 * back-pressure, half-close, reset, refusal, datagrams with their senders, and nothing left over?
 * (kernel/net/, over lwIP's loopback)
 */
#include "unit/lib/unit.h"

#include "base/cmdline.h"
#include "drivers/drivers.h"
#include "mm/frames.h"
#include "net/net.h"
#include "net/socket.h"
#include "sched/timer.h"
#include "uapi/errno.h"

#define PROGRAM_BYTES (1u << 20)

static struct aspace *as;
static uaddr_t memory; /* a program's megabyte */

static void turns(unsigned n)
{
	while (n--)
		core_turn(cores[0]);
}

static struct sock *make(int domain, int type)
{
	struct file *f;

	assert_int_equal(sock_create(domain, type, 0, &f), 0);
	file_handle_add(f);
	file_put(f);
	return sock_of(f);
}

static void drop(struct sock *s)
{
	file_handle_drop(&s->file);
}

static struct sock_name v4(uint32_t ip, uint16_t port)
{
	struct sock_name n = { .len = sizeof(struct sockaddr_in) };

	n.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = __builtin_bswap16(port),
				      .sin_addr.s_addr = __builtin_bswap32(ip) };
	return n;
}

static int64_t send_from(struct sock *s, uint32_t off, uint32_t len)
{
	struct iovec v = { (void *)(memory + off), len };
	struct sock_io io = { .as = as, .iov = &v, .count = 1 };

	return sock_send(s, &io);
}

static int64_t recv_to(struct sock *s, uint32_t off, uint32_t len, uint32_t flags)
{
	struct iovec v = { (void *)(memory + off), len };
	struct sock_io io = { .as = as, .iov = &v, .count = 1, .flags = flags };

	return sock_recv(s, &io);
}

static void pattern(uint32_t off, uint32_t len, unsigned seed)
{
	uint8_t page[1024];

	for (uint32_t at = 0; at < len; at += sizeof(page)) {
		for (unsigned i = 0; i < sizeof(page); i++)
			page[i] = (uint8_t)((at + i) * 7 + (at + i) / 251 + seed);
		assert_int_equal(user_write(as, memory + off + at, page, sizeof(page)), 0);
	}
}

static void assert_same(uint32_t a, uint32_t b, uint32_t len)
{
	uint8_t x[1024], y[1024];

	for (uint32_t at = 0; at < len; at += sizeof(x)) {
		uint32_t n = len - at < sizeof(x) ? len - at : sizeof(x);

		assert_int_equal(user_read(as, memory + a + at, x, n), 0);
		assert_int_equal(user_read(as, memory + b + at, y, n), 0);
		assert_memory_equal(x, y, n);
	}
}

struct pair {
	struct sock *listener, *client, *server;
};

static struct pair connected(uint16_t port)
{
	struct pair p = { make(AF_INET, SOCK_STREAM), make(AF_INET, SOCK_STREAM), NULL };
	struct sock_name any = v4(0, port), to = v4(INADDR_LOOPBACK, port);
	int32_t on = 1;
	struct file *f;

	assert_int_equal(sock_option_set(p.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	/* Without it Nagle's rule would hold the second small write until the peer's
	 * acknowledgement, a quarter of a second later. */
	assert_int_equal(sock_option_set(p.client, SOL_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(sock_option_set(p.listener, SOL_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(sock_bind(p.listener, &any), 0);
	assert_int_equal(sock_listen(p.listener, 16), 0);
	assert_int_equal(sock_accept(p.listener, 0, &f), -EAGAIN);
	assert_int_equal(sock_connect(p.client, &to), -EINPROGRESS);
	turns(8);
	assert_int_equal(sock_connect_result(p.client), 0);
	assert_int_equal(sock_accept(p.listener, 0, &f), 0);
	file_handle_add(f);
	file_put(f);
	p.server = sock_of(f);
	return p;
}

static void finish(struct pair *p)
{
	drop(p->client);
	drop(p->server);
	drop(p->listener);
	turns(50);
	assert_int_equal(net_socks_alive(), 0);
}

static void test_echo(void **state)
{
	struct pair p = connected(7001);
	struct sock_name a, b;

	(void)state;
	pattern(0, 4096, 1);
	assert_int_equal(recv_to(p.server, 8192, 100, 0), -EAGAIN);
	assert_int_equal(send_from(p.client, 0, 100), 100);
	turns(4);
	assert_int_equal(recv_to(p.server, 8192, 40, MSG_PEEK), 40);
	assert_int_equal(recv_to(p.server, 8192, 60, 0), 60);
	assert_int_equal(recv_to(p.server, 8192 + 60, 4000, 0), 40);
	assert_same(0, 8192, 100);
	assert_int_equal(sock_name_peer(p.server, &a), 0);
	assert_int_equal(sock_name_local(p.client, &b), 0);
	assert_memory_equal(&a.in4, &b.in4, sizeof(a.in4));
	/* nothing there: the address is not looked at */
	assert_int_equal(recv_to(p.server, PROGRAM_BYTES, 10, 0), -EAGAIN);
	assert_int_equal(send_from(p.client, PROGRAM_BYTES, 10), -EFAULT);
	assert_int_equal(send_from(p.client, 0, 10), 10);
	turns(4);
	assert_int_equal(recv_to(p.server, PROGRAM_BYTES, 10, 0), -EFAULT);
	assert_int_equal(recv_to(p.server, 0, 10, 0), 10);
	finish(&p);
}

/* A reader that does not read stops the writer; what was taken arrives whole when it reads
 * again. */
static void test_backpressure(void **state)
{
	struct pair p = connected(7002);
	uint32_t sent = 0, got = 0;
	unsigned idle = 0;

	(void)state;
	pattern(0, 512 * 1024, 2);
	while (idle < 20) {
		int64_t n = send_from(p.client, sent, 300 * 1024 - sent);

		if (n == -EAGAIN) {
			idle++;
		} else {
			assert_true(n > 0);
			sent += (uint32_t)n;
			idle = 0;
		}
		turns(3);
		if (sent == 300 * 1024)
			break;
	}
	assert_int_equal(send_from(p.client, 0, 1), -EAGAIN);
	assert_true(sent < 300 * 1024 && sent >= 64 * 1024);
	while (got < 400 * 1024) {
		int64_t n = recv_to(p.server, 512 * 1024 + got, 9999, 0);

		if (n > 0)
			got += (uint32_t)n;
		else
			assert_int_equal(n, -EAGAIN);
		n = sent < 400 * 1024 ? send_from(p.client, sent, 400 * 1024 - sent) : 0;
		if (n > 0)
			sent += (uint32_t)n;
		turns(3);
	}
	assert_same(0, 512 * 1024, got);
	finish(&p);
}

static void test_half_close(void **state)
{
	struct pair p = connected(7003);

	(void)state;
	pattern(0, 4096, 3);
	assert_int_equal(send_from(p.client, 0, 50), 50);
	assert_int_equal(sock_shutdown(p.client, SHUT_WR), 0);
	assert_int_equal(send_from(p.client, 0, 1), -EPIPE);
	turns(6);
	assert_int_equal(recv_to(p.server, 8192, 4096, 0), 50);
	assert_int_equal(recv_to(p.server, 8192, 4096, 0), 0);
	assert_int_equal(recv_to(p.server, 8192, 4096, 0), 0);
	assert_int_equal(send_from(p.server, 0, 70), 70);
	turns(6);
	assert_int_equal(recv_to(p.client, 8192, 4096, 0), 70);
	assert_int_equal(recv_to(p.client, 8192, 4096, 0), -EAGAIN);
	assert_int_equal(sock_shutdown(p.server, SHUT_WR), 0);
	turns(6);
	assert_int_equal(recv_to(p.client, 8192, 4096, 0), 0);
	assert_int_equal(sock_shutdown(p.client, SHUT_WR), -ENOTCONN);
	finish(&p);
}

/* l_linger 0 resets: the peer reads what was there, then the error once, then the end. */
static void test_reset(void **state)
{
	struct pair p = connected(7004);
	struct linger l = { 1, 0 };

	(void)state;
	assert_int_equal(send_from(p.client, 0, 30), 30);
	turns(4);
	assert_int_equal(sock_option_set(p.client, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	drop(p.client);
	turns(4);
	assert_int_equal(recv_to(p.server, 8192, 100, 0), 30);
	assert_int_equal(recv_to(p.server, 8192, 100, 0), -ECONNRESET);
	assert_int_equal(recv_to(p.server, 8192, 100, 0), 0);
	assert_int_equal(send_from(p.server, 0, 10), -EPIPE);
	p.client = make(AF_INET, SOCK_STREAM);
	finish(&p);
}

/* Closing with unread data resets the peer; a port nobody listens on refuses. */
static void test_unread_and_refused(void **state)
{
	struct pair p = connected(7005);
	struct sock *s = make(AF_INET, SOCK_STREAM);
	struct sock_name to = v4(INADDR_LOOPBACK, 7999);

	(void)state;
	assert_int_equal(send_from(p.client, 0, 30), 30);
	turns(4);
	drop(p.server);
	turns(4);
	assert_int_equal(recv_to(p.client, 8192, 100, 0), -ECONNRESET);
	p.server = s;
	assert_int_equal(sock_connect(s, &to), -EINPROGRESS);
	turns(4);
	assert_int_equal(sock_connect_result(s), -ECONNREFUSED);
	finish(&p);
}

/* The accept queue is bounded, closing the listener resets who waits in it. */
static void test_backlog(void **state)
{
	struct sock *l = make(AF_INET6, SOCK_STREAM), *c[6];
	struct sock_name any = { .len = sizeof(struct sockaddr_in6),
				 .in6 = { .sin6_family = AF_INET6 } };
	struct sock_name to = v4(INADDR_LOOPBACK, 7006), peer;
	unsigned up = 0;
	struct file *f;

	(void)state;
	any.in6.sin6_port = __builtin_bswap16(7006);
	assert_int_equal(sock_bind(l, &any), 0);
	assert_int_equal(sock_listen(l, 3), 0);
	for (unsigned i = 0; i < 6; i++) {
		c[i] = make(AF_INET, SOCK_STREAM);
		assert_int_equal(sock_connect(c[i], &to), -EINPROGRESS);
		turns(8);
		up += sock_connect_result(c[i]) == 0;
	}
	assert_int_equal(up, 3);
	assert_int_equal(sock_accept(l, SOCK_NONBLOCK, &f), 0);
	assert_true(sock_is_nonblock(sock_of(f)));
	assert_int_equal(sock_name_peer(sock_of(f), &peer), 0);
	assert_int_equal(peer.in6.sin6_family, AF_INET6); /* ::ffff:127.0.0.1 */
	assert_int_equal(peer.in6.sin6_addr.s6_addr[10], 0xff);
	assert_int_equal(peer.in6.sin6_addr.s6_addr[12], 127);
	file_put(f); /* never given a descriptor: closed by that */
	drop(l);
	turns(4);
	assert_int_equal(recv_to(c[1], 8192, 100, 0), -ECONNRESET);
	for (unsigned i = 0; i < 6; i++)
		drop(c[i]);
	turns(20);
	assert_int_equal(net_socks_alive(), 0);
}

static void test_udp(void **state)
{
	struct sock *a = make(AF_INET, SOCK_DGRAM), *b = make(AF_INET, SOCK_DGRAM);
	struct sock_name at = v4(0, 7007), to = v4(INADDR_LOOPBACK, 7007), from = { .len = 0 };
	struct iovec v[2] = { { (void *)(memory + 100), 30 }, { (void *)(memory + 4090), 20 } };
	struct sock_io io = { .as = as, .iov = v, .count = 2, .name = &to };

	(void)state;
	pattern(0, 16384, 4);
	assert_int_equal(sock_bind(a, &at), 0);
	assert_int_equal(sock_send(b, &io), 50);
	io.count = 0;
	assert_int_equal(sock_send(b, &io), 0);
	turns(4);
	v[0] = (struct iovec){ (void *)(memory + 32768), 10 };
	v[1] = (struct iovec){ (void *)(memory + 40000), 100 };
	io = (struct sock_io){ .as = as, .iov = v, .count = 2, .name = &from };
	assert_int_equal(sock_recv(a, &io), 50);
	assert_same(100, 32768, 10);
	assert_same(110, 40000, 20);
	assert_same(4090, 40020, 20);
	assert_int_equal(from.in4.sin_addr.s_addr, to.in4.sin_addr.s_addr);
	assert_int_equal(sock_recv(a, &io), 0);
	assert_int_equal(sock_recv(a, &io), -EAGAIN);
	/* an answer to where it came from, cut to what the reader has room for */
	v[0] = (struct iovec){ (void *)memory, 3000 };
	io = (struct sock_io){ .as = as, .iov = v, .count = 1, .name = &from };
	assert_int_equal(sock_send(a, &io), 3000);
	turns(4);
	v[0].iov_len = 1000;
	io = (struct sock_io){ .as = as, .iov = v, .count = 1, .flags = MSG_TRUNC };
	assert_int_equal(sock_recv(b, &io), 3000);
	assert_int_equal(io.out_flags, MSG_TRUNC);
	/* the longest there is, and one byte more */
	v[0].iov_len = 65001;
	io = (struct sock_io){ .as = as, .iov = v, .count = 1, .name = &from };
	assert_int_equal(sock_send(a, &io), -EMSGSIZE);
	v[0].iov_len = 65000;
	assert_int_equal(sock_send(a, &io), 65000);
	turns(4);
	v[0].iov_base = (void *)(memory + 100000);
	io = (struct sock_io){ .as = as, .iov = v, .count = 1 };
	assert_int_equal(sock_recv(b, &io), 65000);
	assert_same(0, 100000, 65000);
	drop(a);
	drop(b);
	turns(4);
	assert_int_equal(net_socks_alive(), 0);
}

/* IPv6 to ourselves; a v6-only listener and an IPv4 one share a port, a dual-stack one does not. */
static void test_ip6(void **state)
{
	struct sock *six = make(AF_INET6, SOCK_STREAM), *four = make(AF_INET, SOCK_STREAM);
	struct sock *dual = make(AF_INET6, SOCK_STREAM), *client = make(AF_INET6, SOCK_STREAM);
	struct sock_name any6 = { .len = sizeof(struct sockaddr_in6),
				  .in6 = { .sin6_family = AF_INET6 } };
	struct sock_name any4 = v4(0, 7009), to, peer;
	int32_t on = 1;
	struct file *f;

	(void)state;
	any6.in6.sin6_port = __builtin_bswap16(7009);
	assert_int_equal(sock_option_set(six, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	assert_int_equal(sock_bind(six, &any6), 0);
	assert_int_equal(sock_listen(six, 4), 0);
	assert_int_equal(sock_bind(four, &any4), 0);
	assert_int_equal(sock_listen(four, 4), 0);
	assert_int_equal(sock_bind(dual, &any6), -EADDRINUSE);
	to = any6;
	to.in6.sin6_addr.s6_addr[15] = 1;
	assert_int_equal(sock_connect(client, &to), -EINPROGRESS);
	turns(8);
	assert_int_equal(sock_connect_result(client), 0);
	assert_int_equal(sock_accept(four, 0, &f), -EAGAIN);
	assert_int_equal(sock_accept(six, 0, &f), 0);
	assert_int_equal(sock_name_peer(sock_of(f), &peer), 0);
	assert_memory_equal(&peer.in6.sin6_addr, &to.in6.sin6_addr, 16);
	pattern(0, 4096, 5);
	assert_int_equal(send_from(client, 0, 3000), 3000);
	turns(6);
	assert_int_equal(recv_to(sock_of(f), 8192, 4096, 0), 3000);
	assert_same(0, 8192, 3000);
	file_put(f);
	drop(six);
	drop(four);
	drop(dual);
	drop(client);
	turns(20);
	assert_int_equal(net_socks_alive(), 0);
}

static void test_refusals(void **state)
{
	struct sock *s = make(AF_INET, SOCK_STREAM);
	struct sock_name n = v4(0, 7008), out;
	int32_t v = 1;
	struct file *f;

	(void)state;
	assert_int_equal(sock_create(AF_UNIX, SOCK_STREAM, 0, &f), -EAFNOSUPPORT);
	assert_int_equal(sock_create(AF_INET, SOCK_RAW, 0, &f), -ESOCKTNOSUPPORT);
	assert_int_equal(sock_create(AF_INET, SOCK_STREAM, IPPROTO_UDP, &f), -EPROTONOSUPPORT);
	assert_int_equal(sock_create(AF_INET, SOCK_STREAM | 0x100000, 0, &f), -EINVAL);
	assert_int_equal(sock_name_peer(s, &out), -ENOTCONN);
	assert_int_equal(sock_shutdown(s, SHUT_WR), -ENOTCONN);
	assert_int_equal(send_from(s, 0, 1), -EPIPE);
	assert_int_equal(recv_to(s, 0, 1, 0), -ENOTCONN);
	n.len = 4;
	assert_int_equal(sock_bind(s, &n), -EINVAL);
	n.len = 16;
	n.in4.sin_family = AF_INET6;
	assert_int_equal(sock_bind(s, &n), -EAFNOSUPPORT);
	assert_int_equal(sock_option_set(s, SOL_SOCKET, SO_REUSEPORT, &v, sizeof(v)), -ENOPROTOOPT);
	assert_int_equal(sock_option_set(s, SOL_TCP, TCP_NODELAY, &v, 2), -EINVAL);
	assert_int_equal(sock_option_set(s, SOL_TCP, TCP_NODELAY, &v, sizeof(v)), 0);
	assert_int_equal(sock_option_get(s, SOL_TCP, TCP_NODELAY, &v, sizeof(v)), 4);
	assert_int_equal(v, 1);
	drop(s);
	assert_int_equal(net_socks_alive(), 0);
}

static int setup(void **state)
{
	(void)state;
	unit_machine(256, 1);
	frames_init();
	if (cmdline_init("net=off") || cores_init())
		return -1;
	arch_core_set(cores[0]);
	executor_init(cores[0], 64);
	timers_init(cores[0]);
	if (net_init())
		return -1;
	as = aspace_create();
	return !as || aspace_map_anon(as, 0, PROGRAM_BYTES, ACCESS_READ | ACCESS_WRITE, 0, &memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),	    cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_half_close),  cmocka_unit_test(test_reset),
		cmocka_unit_test(test_unread_and_refused), cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_udp),	    cmocka_unit_test(test_ip6),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
