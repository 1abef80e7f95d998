/*
 * httpd PORT [FOLDER]: serves the files of FOLDER (default /www) over HTTP/1.1: GET and HEAD.
 *
 * One coroutine per connection, its buffers on its own stack, of which an idle connection touches
 * little. All complete requests of a receive are answered before anything is sent; then one linked
 * pair of entries sends the answers and receives more. The answers of a connection that does not
 * read stay in its own buffer and stop only it.
 *
 * Bounds: CONNS_MAX connections, further ones wait to be accepted; a head has REQUEST_BYTES_MAX
 * bytes; a connection that has no complete request WAIT_NS after the last one is closed, and so is
 * one that does not take its answers for SEND_NS.
 */
#include <string.h>

#include "libasync/async.h"
#include "reply.h"
#include "request.h"

#define BACKLOG 128
#define CONNS_MAX 512u	/* half of the kernel's open files, so that each may have one open, too */
#define CONNS_READY 64u /* stacks touched before "ready" */
#define WAIT_NS (30 * ASYNC_S)
#define LINGER_NS (2 * ASYNC_S)
#define LINGER_BYTES_MAX 65536u

struct conn {
	struct request req;
	struct request_scan scan;
	uint32_t in_len;
	char in[REQUEST_BYTES_MAX];
	struct out out;
};

/* Answers the complete requests in `in` and keeps what is behind them. 0; 1: the connection ends
 * once the answers are sent; or -errno: it ends at once. */
static int conn_answer(struct conn *conn)
{
	uint32_t at = 0;
	int err = 0;

	while (!err && at < conn->in_len) {
		int32_t len = request_find_end(&conn->scan, conn->in + at, conn->in_len - at);

		if (!len)
			break;
		if (len > 0) {
			request_parse(&conn->req, conn->in + at, conn->scan.begin, (uint32_t)len);
			at += (uint32_t)len;
		} else {
			conn->req.status = (uint16_t)-len;
			conn->req.close = true;
			conn->req.head = false;
		}
		memset(&conn->scan, 0, sizeof(conn->scan));
		err = reply_add(&conn->out, &conn->req);
		if (!err && conn->req.close)
			err = 1;
	}
	if (at) {
		memmove(conn->in, conn->in + at, conn->in_len - at);
		conn->in_len -= at;
	}
	return err;
}

/* Sends the answers, then receives until there is a complete request. As async_recv. */
static int64_t conn_turn(struct conn *conn, uint64_t end_ns)
{
	struct async_scope limit;
	uint64_t now = async_now_ns();
	int64_t n;

	async_deadline_begin(&limit, now < end_ns ? end_ns - now : 1);
	n = async_exchange(conn->out.fd, conn->out.bytes, conn->out.len, conn->in + conn->in_len,
			   REQUEST_BYTES_MAX - conn->in_len);
	async_deadline_end(&limit);
	conn->out.len = 0;
	if (n > 0)
		conn->in_len += (uint32_t)n;
	return n;
}

/* The last answer was sent: a close while the client still sends would make its machine forget
 * that answer (RFC 9112, 9.6). So it is given a moment to end, and what it says is dropped. */
static void conn_linger(struct conn *conn)
{
	struct async_scope limit;
	uint32_t dropped = 0;
	int64_t n;

	async_shutdown(conn->out.fd, SHUT_WR);
	async_deadline_begin(&limit, LINGER_NS);
	do {
		n = async_recv(conn->out.fd, conn->in, sizeof(conn->in), 0);
		dropped += n > 0 ? (uint32_t)n : 0;
	} while (n > 0 && dropped < LINGER_BYTES_MAX);
	async_deadline_end(&limit);
}

static void conn_serve(struct conn *conn)
{
	uint64_t end_ns = async_now_ns() + WAIT_NS;
	int err = 0;

	while (conn_turn(conn, end_ns) > 0) {
		err = conn_answer(conn);
		if (err)
			break;
		if (conn->out.len)
			end_ns = async_now_ns() + WAIT_NS;
	}
	if (err >= 0 && reply_flush(&conn->out) == 0)
		conn_linger(conn);
}

static void conn_run(int fd)
{
	struct conn conn; /* the buffers stay untouched until they are used */
	int one = 1;

	memset(&conn.scan, 0, sizeof(conn.scan));
	conn.in_len = 0;
	conn.out.len = 0;
	conn.out.fd = fd;
	async_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_serve(&conn);
}

int main(int argc, char **argv)
{
	const char *folder = argc > 2 ? argv[2] : "/www";
	uint16_t port = argc == 2 || argc == 3 ? async_port(argv[1]) : 0;
	int listener, err;

	if (!port) {
		async_printf("httpd: usage: httpd PORT [FOLDER]\n");
		return 2;
	}
	err = reply_init(folder);
	if (err) {
		async_printf("httpd: cannot serve %s: error %d\n", folder, -err);
		return 1;
	}
	listener = async_listen_tcp(port, BACKLOG);
	if (listener < 0) {
		async_printf("httpd: cannot listen on port %u: error %d\n", port, -listener);
		return 1;
	}
	if (async_prepare(CONNS_READY, 4096))
		async_printf("httpd: little memory: connections will be slower to start\n");
	async_printf("httpd: ready\n");
	err = async_serve(listener, CONNS_MAX, conn_run);
	async_printf("httpd: accept ended: error %d\n", -err);
	return 1;
}
