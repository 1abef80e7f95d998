/*
 * nbdd PORT EXPORT...: serves disks and memory to NBD clients over TCP, IPv4 and IPv6.
 *
 * EXPORT is /path of a disk (export name "disk") or ram:SIZE (export name "ram"); the first one is
 * the default. The parts: proto.h what the protocol says, export what is served, handshake how a
 * client chooses, serve its requests, reply the answers, pool the memory for them.
 */
#include <string.h>

#include "conn.h"

#define BACKLOG 16
#define POOLS_READY 2u
#define WORKERS_READY (2u * SLOTS + 4u)
#define HANDSHAKE_NS (30 * ASYNC_S)

struct export exports[EXPORTS_MAX];
unsigned export_count;

/* ---- receiving ---- */

/* Up to `len` bytes of what is already here. */
static size_t conn_take(struct conn *conn, void *buf, size_t len)
{
	size_t here = conn->in_tail - conn->in_head;

	if (len > here)
		len = here;
	if (buf)
		memcpy(buf, conn->in + conn->in_head, len);
	conn->in_head += (uint32_t)len;
	return len;
}

/* The buffer is empty: receives whatever comes. */
static int conn_fill(struct conn *conn)
{
	int64_t n = async_recv(conn->fd, conn->in, CONN_IN_BYTES, 0);

	conn->in_head = 0;
	conn->in_tail = n > 0 ? (uint32_t)n : 0;
	return n > 0 ? 0 : n ? (int)n : -EPIPE;
}

int conn_recv(struct conn *conn, void *buf, size_t len)
{
	char *to = buf;
	size_t done = conn_take(conn, to, len);
	int err = 0;

	while (done < len && !err) {
		if (len - done >= CONN_IN_BYTES) {
			int64_t n = async_recv_all(conn->fd, to + done, len - done);

			return n == (int64_t)(len - done) ? 0 : n < 0 ? (int)n : -EPIPE;
		}
		err = conn_fill(conn);
		done += conn_take(conn, to + done, len - done);
	}
	return err;
}

int conn_skip(struct conn *conn, uint64_t len)
{
	int err = 0;

	len -= conn_take(conn, NULL, len);
	while (len && !err) {
		err = conn_fill(conn);
		len -= conn_take(conn, NULL, len);
	}
	return err;
}

/* ---- a connection's life ---- */

static void conn_adopt_pool(struct conn *conn, struct pool *pool)
{
	conn->pool = pool;
	conn->free = NULL;
	conn->free_count.count = SLOTS;
	conn->replies_tail = &conn->replies;
	for (unsigned i = SLOTS; i-- > 0;) {
		pool->slots[i].conn = conn;
		pool->slots[i].next = conn->free;
		conn->free = &pool->slots[i];
	}
}

/* Replies leave at once; a client that vanished without a word is noticed after some minutes, since
 * connections are few. */
static void conn_set_options(int fd)
{
	int one = 1, idle = 60;

	async_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	async_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	async_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

static void conn_run(int fd)
{
	struct conn conn = { .fd = fd };
	struct async_scope limit;
	struct pool *pool = pool_get();
	int err;

	if (pool) {
		conn_adopt_pool(&conn, pool);
		conn_set_options(fd);
		async_deadline_begin(&limit, HANDSHAKE_NS);
		err = handshake(&conn);
		if (async_deadline_end(&limit))
			err = -ETIME;
		if (!err)
			serve(&conn);
		pool_put(pool);
	}
}

/* ---- start ---- */

static int nbdd_open(int argc, char **argv)
{
	if (argc < 3 || argc - 2 > EXPORTS_MAX) {
		async_printf("nbdd: usage: nbdd PORT EXPORT...   EXPORT: /path or ram:SIZE\n");
		return -EINVAL;
	}
	for (int i = 2; i < argc; i++) {
		int err = export_open(&exports[export_count], argv[i]);

		if (err)
			return err;
		export_count++;
	}
	return 0;
}

static void nbdd_say_ready(void)
{
	for (unsigned i = 0; i < export_count; i++)
		async_printf("nbdd: export %s: %s, %llu bytes%s\n", exports[i].name,
			     exports[i].description, (unsigned long long)exports[i].size,
			     exports[i].read_only ? ", read-only" : "");
	ASYNC_MARK(RING_MARK_READY);
	async_printf("nbdd: ready\n");
}

int main(int argc, char **argv)
{
	uint16_t port = argc > 1 ? async_port(argv[1]) : 0;
	int listener, err;

	if (nbdd_open(argc, argv))
		return 2;
	listener = port ? async_listen_tcp(port, BACKLOG) : -EINVAL;
	if (listener < 0) {
		async_printf("nbdd: cannot listen on port %s: error %d\n", argv[1], -listener);
		return 1;
	}
	if (pool_prepare(POOLS_READY) || async_prepare(WORKERS_READY, 2048))
		async_printf("nbdd: little memory: connections will be slower to start\n");
	nbdd_say_ready();
	err = async_serve(listener, CONNS_MAX, conn_run);
	async_printf("nbdd: accept ended: error %d\n", -err);
	return 1;
}
