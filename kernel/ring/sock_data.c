/*
 * sock_data: SEND and RECV: the data path. On the net core.
 *
 *   MOVE --no data, no room--> parked on the socket's readers or writers --lwIP's callback wakes--> MOVE
 *    |  ^--multishot: one more CQE; WAITALL, SEND: not everything yet
 *    +--moved--> done
 *
 * The program's pages are pinned only while bytes are copied: an op that waits holds nothing. A
 * provided buffer is likewise taken only when there is something to put into it. Partial progress
 * wins over a late error. SEND finishes when everything is in the socket, unless it may not wait.
 * IORING_RECVSEND_POLL_FIRST is accepted and needs no action. Left out: BUNDLE, FIXED_BUF,
 * VECTORIZED (-EINVAL), MSG_OOB (-EOPNOTSUPP).
 */
#include "ring/sock.h"
#include "uapi/errno.h"

#define DATA_BYTES_MAX 0x7ffff000u

/* ---- body */

struct data_op {
	uaddr_t addr;
	uaddr_t name;	  /* SEND: where to */
	uint32_t len;
	uint32_t done;
	uint32_t flags;	  /* MSG_* */
	uint16_t name_len;
	uint16_t group;
	uint8_t select;
	uint8_t multi;
};

/* ---- states */

enum data_state { DATA_MOVE };
static const char *const data_names[] = { "move" };

/* ---- check */

static int send_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct data_op *d = op_body(op, struct data_op);

	if (sqe->buf_index || sqe->__pad3[0] || (sqe->ioprio & ~IORING_RECVSEND_POLL_FIRST))
		return -EINVAL;
	if (sqe->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	d->addr = sqe->addr;
	d->len = min_of(sqe->len, DATA_BYTES_MAX);
	d->done = 0;
	d->flags = sqe->msg_flags;
	d->name = sqe->addr2;
	d->name_len = sqe->addr_len;
	return 0;
}

static int recv_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct data_op *d = op_body(op, struct data_op);

	if (sqe->addr2 || sqe->file_index ||
	    (sqe->ioprio & ~(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT)))
		return -EINVAL;
	if (sqe->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	d->select = !!(sqe->flags & IOSQE_BUFFER_SELECT);
	d->multi = !!(sqe->ioprio & IORING_RECV_MULTISHOT);
	if (d->multi && (!d->select || (sqe->msg_flags & MSG_WAITALL)))
		return -EINVAL;
	if (d->multi)
		op->flags |= OP_MULTISHOT;
	if (!d->select && sqe->buf_index)
		return -EINVAL;
	d->addr = sqe->addr;
	d->len = min_of(sqe->len, DATA_BYTES_MAX);
	d->done = 0;
	d->flags = sqe->msg_flags;
	d->group = sqe->buf_group;
	return 0;
}

/* ---- helpers */

/* One attempt to fill [addr, addr+len) behind what is done. */
static int64_t recv_into(struct op *op, struct sock *s, struct data_op *d, uaddr_t addr,
			 uint32_t len)
{
	struct iovec iov = { (void *)(uintptr_t)addr, len };
	struct sock_io io = {
		.as = op_aspace(op), .iov = &iov, .count = 1, .flags = d->flags, .done = d->done
	};

	return sock_recv(s, &io);
}

/* Into a provided buffer, once there is something: bytes and op->cqe_flags, or the reason. */
static int64_t recv_select(struct op *op, struct sock *s, struct data_op *d)
{
	uint32_t len = d->len;
	uaddr_t addr;
	int64_t n = sock_can_recv(s);
	int err;

	if (n <= 0)
		return n;
	err = op_buf_select(op, d->group, &addr, &len, &op->cqe_flags);
	if (err)
		return err;
	n = recv_into(op, s, d, addr, len);
	if (n < 0)
		op_buf_return(op, d->group);
	return n;
}

static int64_t recv_once(struct op *op, struct sock *s, struct data_op *d)
{
	if (likely(s->type == SOCK_STREAM && !d->select && d->len)) {
		if (!sock_has_data(s))
			return sock_can_recv(s);
		if (likely(!(d->flags & MSG_PEEK)))
			return sock_recv_span(s, op_aspace(op), d->addr + d->done,
					      d->len - d->done);
	}
	return d->select ? recv_select(op, s, d) : recv_into(op, s, d, d->addr, d->len);
}

static enum step recv_end(struct op *op, struct sock *s, struct data_op *d, int64_t res)
{
	if (d->done)
		res = d->done;
	/* the end of the stream is as short as a part */
	op->extra = res >= 0 && (d->flags & MSG_WAITALL) && res < d->len;
	if (res >= 0 && sock_has_data(s))
		op->cqe_flags |= IORING_CQE_F_SOCK_NONEMPTY;
	return op_finish(op, (int32_t)res);
}

static enum step recv_move(struct op *op, struct sock *s, struct data_op *d)
{
	int64_t n;

	if (unlikely(op->flags & OP_CANCELLED)) {
		sock_pass_on(s);
		return recv_end(op, s, d, -ECANCELED);
	}
	n = recv_once(op, s, d);
	if (n == -EAGAIN && op_sock_waits(op, s, d->flags))
		return op_park(op, &s->readers);
	if (n > 0 && d->multi) {
		if (sock_has_data(s))
			op->cqe_flags |= IORING_CQE_F_SOCK_NONEMPTY;
		if (!op_post_more(op, (int32_t)n, op->cqe_flags))
			return op_finish(op, (int32_t)n);
		op->cqe_flags = 0;
		return op_goto(op, DATA_MOVE);
	}
	if (n > 0 && (d->flags & MSG_WAITALL) && !d->select && s->type == SOCK_STREAM &&
	    !(d->flags & MSG_PEEK)) {
		d->done += (uint32_t)n;
		if (d->done < d->len)
			return op_goto(op, DATA_MOVE);
	}
	return recv_end(op, s, d, n);
}

static enum step send_end(struct op *op, struct data_op *d, int64_t res)
{
	if (!d->done)
		return op_finish(op, (int32_t)res);
	op->extra = d->done < d->len;
	return op_finish(op, (int32_t)d->done);
}

/* With a name to send to, or more to follow, or datagrams. */
static int64_t send_any(struct op *op, struct sock *s, struct data_op *d)
{
	struct iovec iov = { (void *)(uintptr_t)d->addr, d->len };
	struct sock_io io = {
		.as = op_aspace(op), .iov = &iov, .count = 1, .flags = d->flags, .done = d->done
	};
	struct sock_name name;

	if (d->name) {
		int err = sock_name_read(op_aspace(op), d->name, d->name_len, &name);

		if (err)
			return err;
		io.name = &name;
	}
	return sock_send(s, &io);
}

static enum step send_move(struct op *op, struct sock *s, struct data_op *d)
{
	int64_t n;

	if (unlikely(op->flags & OP_CANCELLED))
		return send_end(op, d, -ECANCELED);
	if (likely(s->type == SOCK_STREAM && !d->name && d->len && !(d->flags & MSG_MORE)))
		n = sock_send_span(s, op_aspace(op), d->addr + d->done, d->len - d->done);
	else
		n = send_any(op, s, d);
	if (likely(n > 0)) {
		d->done += (uint32_t)n;
		if (unlikely(d->done < d->len))
			return op_goto(op, DATA_MOVE);
	} else if (n == -EAGAIN && op_sock_waits(op, s, d->flags)) {
		return op_park(op, &s->writers);
	}
	return send_end(op, d, n);
}

/* ---- step */

static enum step recv_step(struct op *op)
{
	struct sock *s = op_sock(op);

	switch ((enum data_state)op->state) {
	case DATA_MOVE:
		return likely(s) ? recv_move(op, s, op_body(op, struct data_op))
				 : op_finish(op, -ENOTSOCK);
	}
	op_corrupt(op);
}

static enum step send_step(struct op *op)
{
	struct sock *s = op_sock(op);

	switch ((enum data_state)op->state) {
	case DATA_MOVE:
		return likely(s) ? send_move(op, s, op_body(op, struct data_op))
				 : op_finish(op, -ENOTSOCK);
	}
	op_corrupt(op);
}

const struct op_row row_recv = {
	.name = "recv",
	.body_size = sizeof(struct data_op),
	.needs_file = 1,
	.ioprio_bits = 1,
	.buf_select = 1,
	.state_count = array_count(data_names),
	.state_names = data_names,
	.check = recv_check,
	.step = recv_step,
	.cancel = sock_cancel,
};

const struct op_row row_send = {
	.name = "send",
	.body_size = sizeof(struct data_op),
	.needs_file = 1,
	.ioprio_bits = 1,
	.state_count = array_count(data_names),
	.state_names = data_names,
	.check = send_check,
	.step = send_step,
	.cancel = sock_cancel,
};
