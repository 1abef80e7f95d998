/*
 * Are streams whole and in order between programs on different cores, and does nothing stay behind
 * of connections that end in order, half-closed, or with their program? Over the loopback
 * interface, so that all of it is on virtual time.
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/socket.h"

#define CONNS_MAX 12u
#define CHUNK 3000u

struct address {
	uint16_t family, port_be;
	uint32_t addr_be;
	uint64_t zero;
};

static uaddr_t put_address(struct sim_prog *p, uaddr_t at)
{
	/* 127.0.0.1, port 7 */
	struct address a = { .family = AF_INET, .port_be = 0x0700, .addr_be = 0x0100007f };

	prog_write(p, at, &a, sizeof(a));
	return at;
}

static int make_socket(struct sim_prog *p)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_SOCKET,
		.fd = AF_INET,
		.off = SOCK_STREAM,
		.user_data = 77,
	};

	return prog_do(p, &sqe, NULL);
}

static void push(struct sim_prog *p, struct io_uring_sqe sqe)
{
	sim_check(prog_sqe(p, &sqe));
	prog_submit(p);
}

/* ---- the server: one operation per connection in flight, user_data = connection << 8 | what -- */

enum { ACCEPT, RECV, SEND, CLOSE };

struct conn {
	int fd; /* -1: none */
	uint32_t have, sent;
};

static void server_recv(struct sim_prog *p, uaddr_t buf, unsigned i, const struct conn *c)
{
	push(p, (struct io_uring_sqe){ .opcode = IORING_OP_RECV,
				       .fd = c->fd,
				       .addr = buf + i * CHUNK,
				       .len = 1 + (uint32_t)sim_below(CHUNK),
				       .user_data = i << 8 | RECV });
}

static void server_send(struct sim_prog *p, uaddr_t buf, unsigned i, const struct conn *c)
{
	push(p, (struct io_uring_sqe){ .opcode = IORING_OP_SEND, .fd = c->fd,
				       .addr = buf + i * CHUNK + c->sent, .len = c->have - c->sent,
				       .user_data = i << 8 | SEND });
}

static void server_close(struct sim_prog *p, unsigned i, struct conn *c)
{
	push(p, (struct io_uring_sqe){
			.opcode = IORING_OP_CLOSE, .fd = c->fd, .user_data = i << 8 | CLOSE });
	c->fd = -1;
}

static void server_accept(struct sim_prog *p, int listener)
{
	push(p, (struct io_uring_sqe){
			.opcode = IORING_OP_ACCEPT, .fd = listener, .user_data = ACCEPT });
}

static void server_accepted(struct sim_prog *p, uaddr_t buf, struct conn *conns, int fd)
{
	unsigned i = 0;

	sim_check(fd >= 0);
	while (conns[i].fd >= 0)
		sim_check(++i < CONNS_MAX);
	conns[i] = (struct conn){ .fd = fd };
	server_recv(p, buf, i, &conns[i]);
}

/* Echoes until it is killed. */
static void server(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE), buf = prog_map(p, CONNS_MAX * CHUNK);
	struct io_uring_sqe bind = { .opcode = IORING_OP_BIND,
				     .addr = put_address(p, at),
				     .off = 16 };
	struct io_uring_sqe listen = { .opcode = IORING_OP_LISTEN, .len = 8 };
	struct conn conns[CONNS_MAX];
	int listener = make_socket(p);

	sim_check(listener >= 0);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		conns[i].fd = -1;
	bind.fd = listen.fd = listener;
	sim_check(prog_do(p, &bind, NULL) == 0);
	sim_check(prog_do(p, &listen, NULL) == 0);
	*(bool *)p->arg = true;
	server_accept(p, listener);
	for (;;) {
		struct io_uring_cqe cqe;
		struct conn *c;
		unsigned i;

		prog_wait_cqe(p, &cqe);
		i = (unsigned)(cqe.user_data >> 8);
		c = &conns[i];
		switch (cqe.user_data & 0xff) {
		case ACCEPT:
			server_accepted(p, buf, conns, cqe.res);
			server_accept(p, listener);
			break;
		case RECV:
			if (cqe.res <= 0) { /* the end, or a reset */
				server_close(p, i, c);
				break;
			}
			c->have = (uint32_t)cqe.res;
			c->sent = 0;
			server_send(p, buf, i, c);
			break;
		case SEND:
			if (cqe.res <= 0) {
				server_close(p, i, c);
				break;
			}
			c->sent += (uint32_t)cqe.res;
			if (c->sent < c->have)
				server_send(p, buf, i, c);
			else
				server_recv(p, buf, i, c);
			break;
		case CLOSE:
			sim_check(cqe.res == 0);
		}
	}
}

/* ---- clients --------------------------------------------------------------------------------- */

/* A connected socket; -1 if nobody listens any more. */
static int client_connect(struct sim_prog *p, uaddr_t at)
{
	int32_t res;

	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_CONNECT, .addr = put_address(p, at), .off = 16, .user_data = 5
	};
	int fd = make_socket(p);

	sim_check(fd >= 0);
	sqe.fd = fd;
	res = prog_do(p, &sqe, NULL);
	sim_check(res == 0 || res == -ECONNREFUSED || res == -ECONNRESET);
	return res ? -1 : fd;
}

/* A byte stream that can be checked at any place. */
static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

/* Sends and receives at once, in pieces of all sizes; ends by half-closing and reading to the
 * end. */
static void client_talk(struct sim_prog *p, uint32_t total)
{
	uaddr_t at = prog_map(p, PAGE_SIZE), out = prog_map(p, 2 * PAGE_SIZE),
		in = prog_map(p, 2 * PAGE_SIZE);
	int fd = client_connect(p, at);
	uint32_t sent = 0, got = 0;
	bool sending = false, receiving = false, ended = false, shut = false;

	sim_check(fd >= 0);
	while (!ended) {
		struct io_uring_cqe cqe;
		uint8_t bytes[8192];

		if (!sending && sent < total) {
			uint32_t n = 1 + (uint32_t)sim_below(min_of(total - sent, 8192u));

			for (uint32_t i = 0; i < n; i++)
				bytes[i] = byte_at(sent + i);
			prog_write(p, out, bytes, n);
			push(p, (struct io_uring_sqe){ .opcode = IORING_OP_SEND,
						       .fd = fd,
						       .addr = out,
						       .len = n,
						       .user_data = 1 });
			sending = true;
		}
		if (!sending && sent == total && !shut) {
			push(p, (struct io_uring_sqe){ .opcode = IORING_OP_SHUTDOWN,
						       .fd = fd,
						       .len = SHUT_WR,
						       .user_data = 3 });
			shut = true;
		}
		if (!receiving) {
			push(p, (struct io_uring_sqe){ .opcode = IORING_OP_RECV,
						       .fd = fd,
						       .addr = in,
						       .len = 1 + (uint32_t)sim_below(8192),
						       .user_data = 2 });
			receiving = true;
		}
		prog_wait_cqe(p, &cqe);
		if (cqe.user_data == 1) {
			sim_check(cqe.res > 0);
			sent += (uint32_t)cqe.res;
			sending = false;
		} else if (cqe.user_data == 2) {
			receiving = false;
			ended = cqe.res == 0;
			sim_check(cqe.res >= 0);
			prog_read(p, in, bytes, (size_t)cqe.res);
			for (int32_t i = 0; i < cqe.res; i++)
				sim_check(bytes[i] == byte_at(got + (uint32_t)i));
			got += (uint32_t)cqe.res;
		} else {
			sim_check(cqe.res == 0);
		}
	}
	sim_check(got == total && sent == total);
}

static void orderly(struct sim_prog *p)
{
	client_talk(p, 30000);
	client_talk(p, 1 + (uint32_t)sim_below(3000));
}

/* Leaves with data unread and operations in flight, having closed its socket under them or not. */
static void rude(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE), buf = prog_map(p, 4 * PAGE_SIZE);
	struct io_uring_cqe cqe = { 0 };
	int fd = client_connect(p, at);

	for (unsigned i = 0; fd >= 0 && i < 4; i++)
		push(p, (struct io_uring_sqe){ .opcode = sim_chance(2) ? IORING_OP_SEND
								       : IORING_OP_RECV,
					       .fd = fd,
					       .addr = buf,
					       .len = 4 * PAGE_SIZE,
					       .user_data = 100 });
	for (uint64_t i = sim_below(100); i; i--)
		prog_pause(p);
	if (fd < 0 || sim_chance(2))
		return;
	push(p, (struct io_uring_sqe){ .opcode = IORING_OP_CLOSE, .fd = fd, .user_data = 9 });
	while (cqe.user_data != 9)
		prog_wait_cqe(p, &cqe);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static bool is_set(void *flag)
{
	return *(bool *)flag;
}

static unsigned clients_wanted;

static bool clients_gone(void *arg)
{
	(void)arg;
	return sim_alive() <= clients_wanted;
}

static struct process *start_server(unsigned user_core, unsigned home)
{
	static bool listening;
	struct process *s = sim_spawn(server, &listening, user_core, home);

	sim_until(is_set, &listening);
	return s;
}

static void finish_with(struct process *server_process)
{
	clients_wanted = 1;
	sim_until(clients_gone, NULL);
	sim_check(!sim_failed_programs());
	sim_kill(server_process);
	sim_finish();
}

static void streams(void)
{
	struct process *s = start_server(1, 0);

	for (unsigned i = 0; i < 4; i++)
		sim_spawn(orderly, NULL, 1 + i % 2, 0);
	finish_with(s);
}

/* Rings on one core, the stack on another. */
static void streams_forwarded(void)
{
	struct process *s = start_server(1, 0);

	sim_spawn(orderly, NULL, 1, 3);
	sim_spawn(orderly, NULL, 1, 0);
	finish_with(s);
}

static void rude_ends(void)
{
	struct process *s = start_server(1, 0);

	for (unsigned i = 0; i < 5; i++)
		sim_spawn(rude, NULL, 1 + i % 2, 0);
	sim_spawn(orderly, NULL, 2, 0);
	finish_with(s);
}

static void server_dies(void)
{
	struct process *s = start_server(1, 0);

	for (unsigned i = 0; i < 5; i++)
		sim_spawn(rude, NULL, 1 + i % 2, 0);
	sim_for(sim_below(1500000));
	sim_kill(s);
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "net streams", .run = streams, .cores = 3 },
		{ .name = "net streams, mixed core", .run = streams, .cores = 3,
		  .cmdline = "map=0:mixed,1:user,2:user" },
		{ .name = "net streams through another core", .run = streams_forwarded, .cores = 4,
		  .cmdline = "map=0:kernel,1:user,2:net,3:kernel" },
		{ .name = "net rude clients", .run = rude_ends, .cores = 3 },
		{ .name = "net server dies", .run = server_dies, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
