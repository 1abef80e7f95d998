/*
 * streams: sockets of a random program: connections over the loopback interface between any two
 * programs, sent and received in every way there is.
 *
 * Both ends of a connection look at the same record of it. The first four bytes that the connecting
 * side sends name the connection, so that the accepting side learns which one it has. Each
 * direction has one sending and one receiving operation in flight at most: bytes are in order, and
 * what was received is a part of what was sent, from its beginning, without a gap.
 */
#include <string.h>

#include "campaign_parts/model.h"

#define CONNS 64u
#define NAME_BYTES 4u
#define PORT_FIRST 7000u

static struct conn conns[CONNS];
static unsigned conn_count;

static uint8_t stream_byte(const struct conn *c, unsigned dir, uint64_t i)
{
	if (!dir && i < NAME_BYTES)
		return (uint8_t)((uint32_t)(c - conns) >> 8 * i);
	return byte_of(c->dir[dir].seed, i);
}

/* May the peer's end of this direction break off, by what it did or because its program ended? */
static bool may_break(const struct conn *c, unsigned dir)
{
	const struct side *peer = &sides[c->prog[dir]];

	return c->dir[dir].closing || c->dir[dir].reset || peer->mortal || peer->ended ||
	       !c->accepted;
}

static bool may_be_cut(const struct conn *c, unsigned dir)
{
	const struct side *peer = &sides[c->prog[dir]];

	return c->dir[dir].reset || peer->mortal || peer->ended || !c->accepted;
}

/* ---- the end of an end ----------------------------------------------------------------------- */

static void end_use(struct rec *r, struct end *e)
{
	r->end = e;
	e->users++;
}

void stream_done(struct rec *r)
{
	struct end *e = r->end;

	if (!e)
		return;
	e->users--;
	if (e->send == r)
		e->send = NULL;
	if (e->recv == r)
		e->recv = NULL;
	if (e->accept == r)
		e->accept = NULL;
	r->end = NULL;
}

void stream_lost(struct rec *r)
{
	struct end *e = r->end;

	if (!e)
		return;
	e->wild = e->lost = true;
	if (e->conn) {
		e->conn->dir[0].reset = e->conn->dir[1].reset = true;
		e->conn->dir[e->side].closing = true;
	}
	/* a close or a socket that is lost: whichever came of it, this end is not used again */
	stream_done(r);
}

/* What a close means for who is at the other end: bytes unread, sent or still to come reset the
 * connection. */
static void conn_closes(struct end *e)
{
	e->conn->dir[e->side].closing = true;
	e->conn->dir[0].reset = e->conn->dir[1].reset = true;
}

/* An accepted end may not know yet which connection it is: end_learn catches up. */
static void end_closes(struct side *s, struct end *e)
{
	act_fd_closes(s, e->fd);
	e->closing = true;
	if (e->conn)
		conn_closes(e);
}

/* ---- judges ---------------------------------------------------------------------------------- */

static bool ended_by_us(const struct rec *r, int32_t res)
{
	return res == -ECANCELED ||
	       (res == -EFAULT && (r->torn || (r->sqe.flags & IOSQE_BUFFER_SELECT))) ||
	       (res == -EBADF && r->stops);
}

static void socket_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct end *e = r->end;

	e->closing = false;
	if (cqe->res >= 0) {
		e->fd = cqe->res;
		return;
	}
	model_check(s, r, cqe, cqe->res == -ECANCELED || cqe->res == -ENFILE ||
		    cqe->res == -ENOBUFS);
}

static void close_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct end *e = r->end;

	e->closing = false;
	if (cqe->res == 0) {
		e->fd = -1; /* the rest is of use to those that are still out */
		return;
	}
	model_check(s, r, cqe, cqe->res == -ECANCELED);
}

static void connect_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct end *e = r->end;

	if (!cqe->res) {
		e->connected = true;
		return;
	}
	e->wild = true;
	if (ended_by_us(r, cqe->res))
		return;
	model_check(s, r, cqe, cqe->res == -ECONNREFUSED || cqe->res == -ECONNRESET ||
		    cqe->res == -ENOBUFS || cqe->res == -EADDRNOTAVAIL ||
		    cqe->res == -ETIMEDOUT);
}

static void accept_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (cqe->res < 0) {
		model_check(s, r, cqe, ended_by_us(r, cqe->res) || cqe->res == -ENFILE ||
			    cqe->res == -EMFILE || cqe->res == -ECONNABORTED);
		return;
	}
	for (unsigned i = 0; i < ENDS; i++) {
		struct end *e = &s->ends[i];

		if (e->fd >= 0 || e->users)
			continue;
		*e = (struct end){ .fd = cqe->res, .connected = true, .side = 1 };
		return;
	}
	act_drop_fd(s, cqe->res);
}

static bool broken_off(const struct end *e, int32_t res)
{
	if (res != -ECONNRESET && res != -EPIPE && res != -ENOTCONN && res != -ECONNABORTED)
		return false;
	return !e->conn || !e->connected || e->shut || may_break(e->conn, !e->side);
}

static void send_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct end *e = r->end;
	struct stream *st = &e->conn->dir[e->side];

	if (cqe->res > 0) {
		model_check(s, r, cqe, (uint32_t)cqe->res <= r->len);
		model_check(s, r, cqe, (uint32_t)cqe->res == r->len || r->stops || r->torn ||
			    r->guarded || may_break(e->conn, !e->side));
		st->sent += (uint32_t)cqe->res;
	} else {
		model_check(s, r, cqe, ended_by_us(r, cqe->res) || broken_off(e, cqe->res));
		if (cqe->res != -ECANCELED)
			e->wild = true;
	}
	if (r->torn)
		e->wild = true; /* nobody knows what it sent */
	else
		st->sent_max = st->sent;
}

/* The first bytes of an accepted connection tell which one it is. */
static void end_learn(struct side *s, struct end *e, const struct rec *r, const uint8_t *data,
		      uint32_t len)
{
	uint32_t index = 0;

	while (len && e->early_len < NAME_BYTES) {
		e->early[e->early_len++] = *data++;
		len--;
	}
	if (e->early_len < NAME_BYTES)
		return;
	memcpy(&index, e->early, NAME_BYTES);
	model_check(s, r, NULL, index < conn_count);
	e->conn = &conns[index];
	model_check(s, r, NULL, !e->conn->accepted && e->conn->prog[1] == s->index);
	e->conn->accepted = true;
	if (e->closing || e->fd < 0) /* its name was on the way when it was closed */
		conn_closes(e);
	e->conn->dir[0].got = NAME_BYTES;
}

static void recv_bytes(struct side *s, struct rec *r, const struct io_uring_cqe *cqe,
		       const uint8_t *data)
{
	struct end *e = r->end;
	uint32_t i = 0, len = (uint32_t)cqe->res;
	struct stream *st;

	if (!e->conn) {
		i = min_of(len, NAME_BYTES - e->early_len);
		end_learn(s, e, r, data, len);
	}
	if (!e->conn)
		return;
	st = &e->conn->dir[!e->side];
	for (; i < len; i++, st->got++)
		if (data[i] != stream_byte(e->conn, !e->side, st->got))
			sim_fail("program %u: byte %llu of connection %u from side %u is %02x "
				 "(user_data %llx)", s->index, (unsigned long long)st->got,
				 (unsigned)(e->conn - conns), !e->side, data[i],
				 (unsigned long long)r->id);
	model_check(s, r, cqe, st->got <= st->sent_max);
}

static void recv_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct end *e = r->end;
	uaddr_t from = rec_mem(s, r);
	uint8_t data[REC_BYTES];

	if (cqe->flags & IORING_CQE_F_BUFFER)
		from = group_take(s, r, cqe);
	if (cqe->res > 0) {
		model_check(s, r, cqe, cqe->res <= (int32_t)REC_BYTES);
		if (r->torn || e->wild) {
			e->wild = true;
			return;
		}
		prog_read(s->p, from, data, (size_t)cqe->res);
		recv_bytes(s, r, cqe, data);
		return;
	}
	if (cqe->res == -ENOBUFS && (r->sqe.flags & IOSQE_BUFFER_SELECT))
		return;
	if (cqe->res == 0) {
		struct stream *st = e->conn ? &e->conn->dir[!e->side] : NULL;

		e->eof = true;
		model_check(s, r, cqe, !e->conn || may_break(e->conn, !e->side) || e->wild);
		model_check(s, r, cqe, !st || e->wild || may_be_cut(e->conn, !e->side) ||
			    st->got == st->sent);
		return;
	}
	model_check(s, r, cqe, ended_by_us(r, cqe->res) || broken_off(e, cqe->res) ||
		    (cqe->res == -EAGAIN));
	if (cqe->res == -EFAULT)
		e->wild = true;
}

static void shut_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, !cqe->res || ended_by_us(r, cqe->res) || cqe->res == -ENOTCONN ||
		    cqe->res == -ECONNRESET || cqe->res == -EPIPE);
}

static void option_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, !cqe->res || ended_by_us(r, cqe->res) || cqe->res == -EINVAL);
}

static void poll_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res > 0 || ended_by_us(r, cqe->res));
}

/* ---- entries --------------------------------------------------------------------------------- */

static uaddr_t put_port(struct side *s, uaddr_t at, unsigned prog)
{
	uint16_t port = (uint16_t)(PORT_FIRST + prog);
	struct {
		uint16_t family, port_be;
		uint32_t addr_be;
		uint64_t zero;
	} a = { .family = AF_INET, .port_be = __builtin_bswap16(port), .addr_be = 0x0100007f };

	prog_write(s->p, at, &a, sizeof(a));
	return at;
}

static bool end_connect(struct side *s, struct rec *r, struct end *e)
{
	unsigned to = (unsigned)sim_below(world.programs);
	struct conn *c;

	if (conn_count == CONNS || !sides[to].listening)
		return false;
	c = e->conn = &conns[conn_count++];
	c->prog[0] = (uint8_t)s->index;
	c->prog[1] = (uint8_t)to;
	c->dir[0].seed = (uint32_t)sim_random();
	c->dir[1].seed = (uint32_t)sim_random();
	e->side = 0;
	r->sqe.opcode = IORING_OP_CONNECT;
	r->sqe.fd = e->fd;
	r->sqe.addr = put_port(s, rec_mem(s, r), to);
	r->sqe.off = 16;
	r->judge = connect_judge;
	r->endless = true; /* for as long as a full backlog lets it try again */
	return true;
}

static bool end_accept(struct rec *r, struct end *e)
{
	if (e->accept)
		return false;
	e->accept = r;
	r->sqe.opcode = IORING_OP_ACCEPT;
	r->sqe.fd = e->fd;
	r->sqe.ioprio = sim_chance(2) ? IORING_ACCEPT_MULTISHOT : 0;
	r->endless = true;
	r->judge = accept_judge;
	return true;
}

/* The buffers of a SENDMSG or RECVMSG: two pieces. */
static void put_message(struct side *s, struct rec *r)
{
	uaddr_t mem = rec_mem(s, r), at = mem + REC_BYTES - 256;
	uint32_t first = (uint32_t)sim_below(r->len + 1);
	uint64_t iov[] = { mem, first, mem + first, r->len - first, mem, 0 };
	struct msghdr h = { .msg_iov = (void *)(uintptr_t)(at + 128),
			    .msg_iovlen = sim_chance(2) ? 2 : 3 };

	prog_write(s->p, at, &h, sizeof(h));
	prog_write(s->p, at + 128, iov, sizeof(iov));
	r->sqe.addr = at;
	r->sqe.len = 1;
}

static bool end_send(struct side *s, struct rec *r, struct end *e)
{
	struct stream *st = &e->conn->dir[e->side];
	uint8_t data[REC_BYTES];

	if (e->send || e->shut)
		return false;
	r->len = r->sqe.len = 1 + (uint32_t)sim_below(sim_chance(3) ? 7000 : 500);
	for (uint32_t i = 0; i < r->len; i++)
		data[i] = stream_byte(e->conn, e->side, st->sent + i);
	prog_write(s->p, rec_mem(s, r), data, r->len);
	e->send = r;
	st->sent_max = st->sent + r->len;
	r->sqe.opcode = IORING_OP_SEND;
	r->sqe.fd = e->fd;
	r->sqe.addr = rec_mem(s, r);
	r->judge = send_judge;
	r->endless = true; /* nobody need read it */
	if (sim_chance(3)) {
		r->sqe.opcode = IORING_OP_SENDMSG;
		put_message(s, r);
	}
	return true;
}

static bool end_recv(struct side *s, struct rec *r, struct end *e)
{
	if (e->recv || e->eof)
		return false;
	e->recv = r;
	r->len = r->sqe.len = 1 + (uint32_t)sim_below(sim_chance(3) ? 7000 : 500);
	r->sqe.opcode = IORING_OP_RECV;
	r->sqe.fd = e->fd;
	r->sqe.addr = rec_mem(s, r);
	r->judge = recv_judge;
	r->endless = true;
	switch (sim_below(6)) {
	case 0:
		r->sqe.opcode = IORING_OP_RECVMSG;
		put_message(s, r);
		break;
	case 1:
		r->sqe.opcode = IORING_OP_READ;
		r->sqe.off = (uint64_t)-1;
		break;
	case 2:
		r->sqe.msg_flags = MSG_WAITALL;
		break;
	case 3 ... 4:
		if (r->ring)
			break;
		r->sqe.flags |= IOSQE_BUFFER_SELECT;
		r->sqe.buf_group = GROUP;
		r->sqe.addr = 0;
		if (sim_chance(2)) {
			r->sqe.ioprio = IORING_RECV_MULTISHOT;
			r->sqe.len = 0;
		}
		break;
	}
	return true;
}

/* May it be closed by `r` under what is in flight on it? Only if all of that has surely looked the
 * descriptor up before: else it might find the next file of that number. */
static bool may_close(const struct side *s, const struct rec *r, const struct end *e)
{
	for (unsigned i = 0; i < RECS; i++) {
		const struct rec *u = &s->recs[i];

		if (e->lost || (u->id && u->end == e && (u->ring != r->ring || !u->unheld)))
			return false;
	}
	return true;
}

static bool end_any(struct side *s, struct rec *r, struct end *e)
{
	bool known = e->conn && e->connected && !e->wild;

	if (e->listener)
		return end_accept(r, e);
	if (e->fd < 0) {
		if (e->users)
			return false;
		*e = (struct end){ .fd = -1, .closing = true };
		r->sqe.opcode = IORING_OP_SOCKET;
		r->sqe.fd = AF_INET;
		r->sqe.off = SOCK_STREAM;
		r->judge = socket_judge;
		return true;
	}
	if (sim_chance(e->wild || e->eof ? 3 : 20) && may_close(s, r, e)) {
		end_closes(s, e);
		r->sqe.opcode = IORING_OP_CLOSE;
		r->sqe.fd = e->fd;
		r->judge = close_judge;
		return true;
	}
	if (e->wild)
		return false;
	if (!e->connected)
		return !e->conn && end_connect(s, r, e);
	switch (sim_below(14)) {
	case 12 ... 13: { /* so small that a sender waits */
		int32_t bytes = 2048;

		prog_write(s->p, rec_mem(s, r), &bytes, sizeof(bytes));
		r->sqe.opcode = IORING_OP_URING_CMD;
		r->sqe.fd = e->fd;
		r->sqe.cmd_op = SOCKET_URING_OP_SETSOCKOPT;
		r->sqe.level = SOL_SOCKET;
		r->sqe.optname = SO_SNDBUF;
		r->sqe.optval = rec_mem(s, r);
		r->sqe.optlen = sizeof(bytes);
		r->judge = option_judge;
		return true;
	}
	case 0:
		r->sqe.opcode = IORING_OP_POLL_ADD;
		r->sqe.fd = e->fd;
		r->sqe.poll32_events = sim_chance(2) ? POLLIN : POLLOUT;
		r->endless = true;
		r->judge = poll_judge;
		return true;
	case 1:
		if (!known || e->send || e->shut || !sim_chance(3))
			return false;
		e->shut = true;
		e->conn->dir[e->side].closing = true;
		r->sqe.opcode = IORING_OP_SHUTDOWN;
		r->sqe.fd = e->fd;
		r->sqe.len = SHUT_WR;
		r->judge = shut_judge;
		return true;
	case 2 ... 6:
		return known && end_send(s, r, e);
	default:
		return end_recv(s, r, e);
	}
}

bool stream_act(struct side *s, struct rec *r)
{
	struct end *e = &s->ends[sim_below(ENDS)];

	if (e->closing || !end_any(s, r, e))
		return false;
	end_use(r, e);
	return true;
}

void streams_begin(struct side *s)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_SOCKET,
				    .fd = AF_INET,
				    .off = SOCK_STREAM,
				    .user_data = 1 };
	struct end *e = &s->ends[0];

	for (unsigned i = 0; i < ENDS; i++)
		s->ends[i].fd = -1;
	e->fd = prog_do(s->p, &sqe, NULL);
	if (e->fd < 0)
		return;
	sqe = (struct io_uring_sqe){ .opcode = IORING_OP_BIND,
				     .fd = e->fd,
				     .addr = put_port(s, s->small, s->index),
				     .off = 16,
				     .user_data = 1 };
	sim_check(prog_do(s->p, &sqe, NULL) == 0);
	sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_LISTEN, .fd = e->fd, .len = 4, .user_data = 1
	};
	sim_check(prog_do(s->p, &sqe, NULL) == 0);
	e->listener = true;
	s->listening = e;
}
