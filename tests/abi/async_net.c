/*
 * Do the socket calls keep what POSIX and io_uring promise, on connections of the machine with
 * itself: echo, half-close, reset, a slow reader, accepting and receiving as streams, linked
 * exchanges, and being stopped in each of them?
 */
#include <string.h>

#include "lib/async_check.h"

#define CLIENTS 40

static uint16_t port;

static uint16_t net16(uint16_t x)
{
	return (uint16_t)(x << 8 | x >> 8);
}

static int dial(uint16_t to_port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = net16(to_port) };
	int fd = async_socket(AF_INET, SOCK_STREAM, 0);
	int err;

	CHECK(fd >= 0);
	to.sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK);
	err = async_connect(fd, &to, sizeof(to));
	if (!err)
		return fd;
	async_close(fd);
	return err;
}

/* A connected pair: a[0] dialled, a[1] was accepted. */
static void make_pair(int listener, int fds[2])
{
	fds[0] = dial(port);
	CHECK(fds[0] >= 0);
	fds[1] = async_accept(listener, NULL, NULL, 0);
	CHECK(fds[1] >= 0);
}

static void close_pair(const int fds[2])
{
	CHECK_EQ(async_close(fds[0]), 0);
	CHECK_EQ(async_close(fds[1]), 0);
}

/* ---- options and names ---- */

static void test_names(int listener)
{
	struct sockaddr_storage name;
	struct sockaddr_in6 *name6 = (struct sockaddr_in6 *)&name;
	socklen_t len = sizeof(name);
	int value = 0;
	int fds[2];

	CHECK_EQ(async_getsockname(listener, &name, &len), 0);
	CHECK_EQ(name6->sin6_port, net16(port));
	make_pair(listener, fds);
	len = sizeof(name);
	CHECK_EQ(async_getpeername(fds[0], &name, &len), 0);
	CHECK_EQ(((struct sockaddr_in *)&name)->sin_port, net16(port));
	value = 1;
	CHECK_EQ(async_setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)), 0);
	value = 0;
	CHECK_EQ(async_getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)), 4);
	CHECK(value != 0);
	CHECK_EQ(async_setsockopt(fds[0], 9999, 1, &value, sizeof(value)), -ENOPROTOOPT);
	close_pair(fds);
	CHECK_EQ(dial(port + 1), -ECONNREFUSED);
	CHECK_EQ(async_recv(fds[0], &value, sizeof(value), 0), -EBADF);
}

/* ---- half-close, end, reset ---- */

static void test_ends(int listener)
{
	struct linger now = { .l_onoff = 1 };
	char buf[64];
	int fds[2];

	make_pair(listener, fds);
	CHECK_EQ(async_send_all(fds[0], "question", 8), 8);
	CHECK_EQ(async_shutdown(fds[0], SHUT_WR), 0);
	CHECK_EQ(async_recv_all(fds[1], buf, sizeof(buf)), 8);
	CHECK_EQ(memcmp(buf, "question", 8), 0);
	CHECK_EQ(async_recv(fds[1], buf, sizeof(buf), 0), 0); /* still the end */
	CHECK_EQ(async_send_all(fds[1], "answer", 6), 6);     /* the other direction lives */
	CHECK_EQ(async_close(fds[1]), 0);
	CHECK_EQ(async_recv_all(fds[0], buf, sizeof(buf)), 6);
	CHECK_EQ(async_close(fds[0]), 0);

	make_pair(listener, fds);
	CHECK_EQ(async_setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	CHECK_EQ(async_close(fds[0]), 0);
	CHECK_EQ(async_recv(fds[1], buf, sizeof(buf), 0), -ECONNRESET);
	CHECK(async_send_all(fds[1], buf, sizeof(buf)) < 0);
	CHECK_EQ(async_close(fds[1]), 0);
}

/* ---- many clients against an accepting stream, echoed by linked exchanges ---- */

static int64_t echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[256];
	int64_t n = 0;

	do {
		n = async_exchange(fd, buf, (size_t)n, buf, sizeof(buf));
	} while (n > 0);
	CHECK_EQ(n, 0);
	return async_close(fd);
}

static int64_t accept_all(void *arg)
{
	struct async_stream conns;
	struct async_group group;
	int64_t fd;
	int served = 0;

	async_group_init(&group);
	async_accept_each(&conns, (int)(intptr_t)arg, 0);
	while ((fd = async_stream_next(&conns, NULL)) >= 0) {
		CHECK_EQ(async_group_spawn(&group, echo, (void *)(intptr_t)fd), 0);
		served++;
	}
	CHECK_EQ(fd, -ECANCELED);
	async_stream_end(&conns);
	async_group_wait(&group);
	return served;
}

static int64_t client(void *arg)
{
	char out[200], in[200];
	int fd = dial(port);

	CHECK(fd >= 0);
	for (int round = 0; round < 20; round++) {
		memset(out, (int)(intptr_t)arg + round, sizeof(out));
		CHECK_EQ(async_send_all(fd, out, sizeof(out)), sizeof(out));
		CHECK_EQ(async_recv_all(fd, in, sizeof(in)), sizeof(in));
		CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
	}
	CHECK_EQ(async_shutdown(fd, SHUT_WR), 0);
	CHECK_EQ(async_recv(fd, in, sizeof(in), 0), 0);
	return async_close(fd);
}

static void test_clients(int listener)
{
	struct async_co *acceptor = async_spawn(accept_all, (void *)(intptr_t)listener);
	struct async_group group;
	int64_t served;

	async_group_init(&group);
	for (intptr_t i = 0; i < CLIENTS; i++)
		CHECK_EQ(async_group_spawn(&group, client, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	async_cancel(acceptor);
	CHECK_EQ(async_join(acceptor, &served), 0);
	CHECK_EQ(served, CLIENTS);
}

/* ---- receiving as a stream, into provided buffers; a slow reader holds the sender back ---- */

#define STREAM_BYTES (200 * 1024)

static int64_t send_much(void *arg)
{
	static char block[10240];
	int fd = (int)(intptr_t)arg;

	for (uint32_t done = 0; done < STREAM_BYTES; done += sizeof(block)) {
		for (uint32_t i = 0; i < sizeof(block); i++)
			block[i] = (char)((done + i) * 7 >> 3);
		CHECK_EQ(async_send_all(fd, block, sizeof(block)), sizeof(block));
	}
	return async_shutdown(fd, SHUT_WR);
}

static void test_stream(int listener)
{
	struct async_bufs bufs;
	struct async_stream in;
	struct async_co *sender;
	uint32_t got = 0;
	int64_t n;
	void *buf;
	int fds[2];

	make_pair(listener, fds);
	CHECK_EQ(async_bufs_init(&bufs, 8, 1024), 0);
	sender = async_spawn(send_much, (void *)(intptr_t)fds[0]);
	async_recv_each(&in, fds[1], &bufs);
	while ((n = async_stream_next(&in, &buf)) > 0) {
		CHECK(buf != NULL && n <= 1024);
		for (int64_t i = 0; i < n; i++, got++)
			CHECK_EQ(((char *)buf)[i], (char)(got * 7 >> 3));
		if (got % 5 == 0)
			CHECK_EQ(async_sleep(ASYNC_MS), 0); /* all buffers are taken meanwhile */
		async_bufs_put(&bufs, buf);
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(got, STREAM_BYTES);
	async_stream_end(&in);
	CHECK_EQ(async_join(sender, NULL), 0);
	async_bufs_fini(&bufs);
	close_pair(fds);
}

/* ---- being stopped ---- */

static int64_t recv_until_stopped(void *arg)
{
	char buf[64];

	return async_recv((int)(intptr_t)arg, buf, sizeof(buf), 0);
}

static int64_t exchange_until_stopped(void *arg)
{
	char buf[64] = "x";

	return async_exchange((int)(intptr_t)arg, buf, 1, buf, sizeof(buf));
}

static int64_t accept_until_stopped(void *arg)
{
	return async_accept((int)(intptr_t)arg, NULL, NULL, 0);
}

static int64_t send_until_stopped(void *arg)
{
	static char block[65536];
	int64_t n;

	/* nobody reads: at some point it must wait */
	do {
		n = async_send_all((int)(intptr_t)arg, block, sizeof(block));
	} while (n > 0);
	return n;
}

static void stop(async_fn fn, int fd)
{
	struct async_co *co = async_spawn(fn, (void *)(intptr_t)fd);
	int64_t result;

	CHECK_EQ(async_sleep(20 * ASYNC_MS), 0); /* it waits by now */
	async_cancel(co);
	CHECK_EQ(async_join(co, &result), 0);
	CHECK_EQ(result, -ECANCELED);
}

static void test_stops(int listener)
{
	struct async_co *co;
	struct async_scope limit;
	int64_t result;
	char buf[64];
	int fds[2];

	make_pair(listener, fds);
	stop(accept_until_stopped, listener);
	stop(recv_until_stopped, fds[0]);
	stop(exchange_until_stopped, fds[0]); /* its byte is sent */
	CHECK_EQ(async_recv(fds[1], buf, sizeof(buf), 0), 1);
	async_deadline_begin(&limit, 20 * ASYNC_MS);
	CHECK_EQ(async_recv(fds[0], buf, sizeof(buf), 0), -ETIME);
	CHECK(async_deadline_end(&limit));

	/* the socket still works */
	CHECK_EQ(async_send_all(fds[1], "fine", 4), 4);
	CHECK_EQ(async_recv(fds[0], buf, sizeof(buf), 0), 4);

	/* closing ends what waits on it */
	co = async_spawn(recv_until_stopped, (void *)(intptr_t)fds[0]);
	CHECK_EQ(async_sleep(20 * ASYNC_MS), 0);
	CHECK_EQ(async_close(fds[0]), 0);
	CHECK_EQ(async_join(co, &result), 0);
	CHECK_EQ(result, -ECANCELED);
	CHECK_EQ(async_close(fds[1]), 0);

	make_pair(listener, fds);
	stop(send_until_stopped, fds[0]);
	close_pair(fds);
}

/* ---- an exchange whose first half fails ---- */

static void test_exchange_fails(int listener)
{
	struct linger now = { .l_onoff = 1 };
	char buf[64];
	int fds[2];

	make_pair(listener, fds);
	CHECK_EQ(async_setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	CHECK_EQ(async_close(fds[1]), 0);
	CHECK_EQ(async_poll(fds[0], POLLIN) & POLLERR, POLLERR);
	CHECK(async_exchange(fds[0], "x", 1, buf, sizeof(buf)) < 0);
	CHECK(async_exchange(fds[0], "x", 1, buf, sizeof(buf)) < 0);
	CHECK_EQ(async_close(fds[0]), 0);
	CHECK_EQ(async_exchange(fds[0], "x", 1, buf, sizeof(buf)), -EBADF);
}

int main(int argc, char **argv)
{
	int listener;

	port = check_port(argc, argv, 4711);
	listener = async_listen_tcp(port, 128);
	CHECK(listener >= 0);
	test_names(listener);
	test_ends(listener);
	test_clients(listener);
	test_stream(listener);
	test_stops(listener);
	test_exchange_fails(listener);
	CHECK_EQ(async_close(listener), 0);
	return async_printf("ok\n") == 3 ? 0 : 1;
}
