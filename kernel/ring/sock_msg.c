/*
 * sock_msg: SENDMSG and RECVMSG. On the net core.
 *
 *   HEAD --msghdr and iovecs copied in--> MOVE --no data, no room--> parked --> MOVE --moved--> done
 *                                           ^--multishot: one more CQE; SENDMSG, WAITALL: not everything yet
 *
 * The msghdr and its iovec array are copied once, at the first step: two iovecs in the body, more
 * in a block of frames that is freed when the op ends. Control messages: sending any is
 * -EOPNOTSUPP, none is ever received (msg_controllen becomes 0).
 *
 * RECVMSG with provided buffers: one-shot puts the payload at the buffer's start; multishot lays
 * out struct io_uring_recvmsg_out, the name in msg_namelen bytes, msg_controllen bytes of nothing,
 * then the payload, and its result counts all of it.
 */
#include "mm/frames.h"
#include "ring/sock.h"
#include "uapi/errno.h"

#define MSG_BYTES_MAX 0x7ffff000u
#define MSG_IOVS_MAX 1024u /* as Linux: IOV_MAX */
#define MSG_IOVS_IN_BODY 2u

/* ---- body */

struct msg_op {
	uaddr_t msg;	/* the program's struct msghdr */
	uaddr_t name;
	paddr_t block;	/* iovecs that did not fit below; 0: none */
	uint32_t name_len, control_len;
	uint32_t total; /* bytes all iovecs hold */
	uint32_t done;
	uint32_t flags; /* MSG_* */
	uint16_t count;
	uint16_t group;
	uint8_t select;
	uint8_t multi;
	struct iovec iov[MSG_IOVS_IN_BODY];
};

/* ---- states */

enum msg_state { MSG_HEAD, MSG_MOVE };
static const char *const msg_names[] = { "head", "move" };

/* ---- check */

static int msg_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct msg_op *m = op_body(op, struct msg_op);

	if (sqe->addr2 || sqe->file_index)
		return -EINVAL;
	if (sqe->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	m->msg = sqe->addr;
	m->block = 0;
	m->done = 0;
	m->flags = sqe->msg_flags;
	m->group = sqe->buf_group;
	m->select = m->multi = 0;
	return 0;
}

static int sendmsg_check(struct op *op, const struct io_uring_sqe *sqe)
{
	if (sqe->buf_index || (sqe->ioprio & ~IORING_RECVSEND_POLL_FIRST))
		return -EINVAL;
	return msg_check(op, sqe);
}

static int recvmsg_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct msg_op *m = op_body(op, struct msg_op);
	int err = msg_check(op, sqe);

	if (err)
		return err;
	if (sqe->ioprio & ~(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT))
		return -EINVAL;
	m->select = !!(sqe->flags & IOSQE_BUFFER_SELECT);
	m->multi = !!(sqe->ioprio & IORING_RECV_MULTISHOT);
	if (m->multi && (!m->select || (sqe->msg_flags & MSG_WAITALL)))
		return -EINVAL;
	if (!m->select && sqe->buf_index)
		return -EINVAL;
	if (m->multi)
		op->flags |= OP_MULTISHOT;
	return 0;
}

/* ---- helpers */

static unsigned block_order(uint32_t count)
{
	uint64_t bytes = count * sizeof(struct iovec);

	return bytes <= PAGE_SIZE ? 0 : bytes <= 2 * PAGE_SIZE ? 1 : 2;
}

static struct iovec *msg_iovs(struct msg_op *m)
{
	return m->block ? arch_direct(m->block) : m->iov;
}

/* Copies the iovec array page by page; sums it up. */
static int msg_read_iovs(struct op *op, struct msg_op *m, uaddr_t from)
{
	uint64_t left = m->count * sizeof(struct iovec), at = 0, total = 0;
	char *to;

	if (m->count > MSG_IOVS_IN_BODY) {
		if (aspace_charge(op_aspace(op), 1ull << block_order(m->count)))
			return -ENOMEM;
		m->block = frame_alloc(block_order(m->count));
		if (!m->block) {
			aspace_uncharge(op_aspace(op), 1ull << block_order(m->count));
			return -ENOMEM;
		}
	}
	to = (char *)msg_iovs(m);
	while (left) {
		uint64_t part = min_of(left, PAGE_SIZE);
		int err = user_read(op_aspace(op), from + at, to + at, part);

		if (err)
			return err;
		at += part;
		left -= part;
	}
	for (uint32_t i = 0; i < m->count; i++) {
		struct iovec *v = &msg_iovs(m)[i];

		if (v->iov_len > INT64_MAX)
			return -EINVAL;
		v->iov_len = min_of(v->iov_len, MSG_BYTES_MAX - total);
		total += v->iov_len;
	}
	m->total = (uint32_t)total;
	return 0;
}

static int msg_read_head(struct op *op, struct msg_op *m)
{
	struct msghdr h;
	int err = user_read(op_aspace(op), m->msg, &h, sizeof(h));

	if (err)
		return err;
	if (h.msg_iovlen > MSG_IOVS_MAX)
		return -EMSGSIZE;
	if ((int32_t)h.msg_namelen < 0 || h.msg_controllen > INT32_MAX)
		return -EINVAL;
	m->name = (uaddr_t)(uintptr_t)h.msg_name;
	m->name_len = m->name || m->multi
			      ? min_of(h.msg_namelen, (uint32_t)sizeof(struct sockaddr_storage))
			      : 0;
	m->control_len = h.msg_control || m->multi ? (uint32_t)h.msg_controllen : 0;
	m->count = (uint16_t)h.msg_iovlen;
	if (m->select && !m->multi && m->count > 1)
		return -EINVAL;
	return msg_read_iovs(op, m, (uaddr_t)(uintptr_t)h.msg_iov);
}

static enum step msg_finish(struct op *op, struct msg_op *m, int64_t res)
{
	if (m->block) {
		frame_put(m->block);
		aspace_uncharge(op_aspace(op), 1ull << block_order(m->count));
	}
	m->block = 0;
	if (m->done) {
		op->extra = m->done < m->total &&
			    (op->opcode == IORING_OP_SENDMSG || (m->flags & MSG_WAITALL));
		res = m->done;
	}
	return op_finish(op, (int32_t)res);
}

/* What a RECVMSG tells besides the data: the sender, no control messages, flags. */
static int msg_tell(struct op *op, struct msg_op *m, const struct sock_name *from,
		    uint32_t out_flags)
{
	struct aspace *as = op_aspace(op);
	uint64_t none = 0;
	int err;

	if (m->name) {
		uint32_t n = min_of(from->len, m->name_len);

		err = n ? user_write(as, m->name, from->bytes, n) : 0;
		if (err)
			return err;
		err = user_write(as, m->msg + offsetof(struct msghdr, msg_namelen), &from->len,
				 sizeof(from->len));
		if (err)
			return err;
	}
	err = user_write(as, m->msg + offsetof(struct msghdr, msg_controllen), &none, sizeof(none));
	if (err)
		return err;
	return user_write(as, m->msg + offsetof(struct msghdr, msg_flags), &out_flags,
			  sizeof(out_flags));
}

/* One message into a provided buffer in the multishot layout: bytes in all, or the reason. */
static int64_t recv_laid_out(struct op *op, struct sock *s, struct msg_op *m, uaddr_t addr,
			     uint32_t len)
{
	uint32_t head = sizeof(struct io_uring_recvmsg_out) + m->name_len + m->control_len;
	struct io_uring_recvmsg_out out = { 0 };
	struct sock_name from = { .len = 0 };
	struct iovec iov = { (void *)(uintptr_t)(addr + head), len - head };
	struct sock_io io = {
		.as = op_aspace(op), .iov = &iov, .count = 1, .flags = m->flags, .name = &from
	};
	uint32_t name_part;
	int64_t n;
	int err;

	if (head < m->control_len || len < head)
		return -EFAULT;
	n = sock_recv(s, &io);
	if (n < 0)
		return n;
	out.namelen = from.len;
	out.payloadlen = (uint32_t)n;
	out.flags = io.out_flags;
	name_part = min_of(from.len, m->name_len);
	err = user_write(io.as, addr, &out, sizeof(out));
	if (!err && name_part)
		err = user_write(io.as, addr + sizeof(out), from.bytes, name_part);
	/* MSG_TRUNC in the flags makes the payload's true length count; the buffer holds no more
	 * than it can. */
	return err ? err : head + min_of(n, (int64_t)(len - head));
}

/* Into a provided buffer, once there is something. */
static int64_t recvmsg_select(struct op *op, struct sock *s, struct msg_op *m,
			      struct sock_name *from, uint32_t *out_flags)
{
	uint32_t len = m->multi ? 0 : m->total;
	int64_t n = sock_can_recv(s);
	uaddr_t addr;
	int err;

	if (n <= 0)
		return n;
	err = op_buf_select(op, m->group, &addr, &len, &op->cqe_flags);
	if (err)
		return err;
	if (m->multi) {
		n = recv_laid_out(op, s, m, addr, len);
	} else {
		struct iovec iov = { (void *)(uintptr_t)addr, len };
		struct sock_io io = { .as = op_aspace(op),
				      .iov = &iov,
				      .count = 1,
				      .flags = m->flags,
				      .name = from };

		n = sock_recv(s, &io);
		*out_flags = io.out_flags;
	}
	if (n < 0)
		op_buf_return(op, m->group);
	return n;
}

static int64_t recvmsg_plain(struct op *op, struct sock *s, struct msg_op *m,
			     struct sock_name *from, uint32_t *out_flags)
{
	struct sock_io io = { .as = op_aspace(op),
			      .iov = msg_iovs(m),
			      .count = m->count,
			      .flags = m->flags,
			      .done = m->done,
			      .name = from };
	int64_t n = sock_recv(s, &io);

	*out_flags = io.out_flags;
	return n;
}

static enum step recvmsg_move(struct op *op, struct sock *s, struct msg_op *m)
{
	struct sock_name from = { .len = 0 };
	uint32_t out_flags = 0;
	int64_t n;
	int err;

	if (op->flags & OP_CANCELLED) {
		sock_pass_on(s);
		return msg_finish(op, m, -ECANCELED);
	}
	n = m->select ? recvmsg_select(op, s, m, &from, &out_flags)
		      : recvmsg_plain(op, s, m, &from, &out_flags);
	if (n == -EAGAIN && op_sock_waits(op, s, m->flags))
		return op_park(op, &s->readers);
	if (n < 0)
		return msg_finish(op, m, n);
	if (sock_has_data(s))
		op->cqe_flags |= IORING_CQE_F_SOCK_NONEMPTY;
	if (m->multi) {
		if (!n || !op_post_more(op, (int32_t)n, op->cqe_flags))
			return msg_finish(op, m, n);
		op->cqe_flags = 0;
		return op_goto(op, MSG_MOVE);
	}
	err = msg_tell(op, m, &from, out_flags);
	if (n > 0 && !m->select && s->type == SOCK_STREAM &&
	    (m->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL) {
		m->done += (uint32_t)n;
		if (m->done < m->total && !err)
			return op_goto(op, MSG_MOVE);
	}
	return msg_finish(op, m, err ? err : n);
}

static enum step sendmsg_move(struct op *op, struct sock *s, struct msg_op *m)
{
	struct sock_io io = { .as = op_aspace(op),
			      .iov = msg_iovs(m),
			      .count = m->count,
			      .flags = m->flags,
			      .done = m->done };
	struct sock_name name;
	int64_t n;

	if (op->flags & OP_CANCELLED)
		return msg_finish(op, m, -ECANCELED);
	if (m->name && m->name_len) {
		int err = sock_name_read(io.as, m->name, m->name_len, &name);

		if (err)
			return msg_finish(op, m, err);
		io.name = &name;
	}
	n = sock_send(s, &io);
	if (n > 0)
		m->done += (uint32_t)n;
	if (n > 0 && m->done < m->total)
		return op_goto(op, MSG_MOVE);
	if (n == -EAGAIN && op_sock_waits(op, s, m->flags))
		return op_park(op, &s->writers);
	return msg_finish(op, m, n);
}

/* ---- step */

static enum step msg_step(struct op *op)
{
	struct msg_op *m = op_body(op, struct msg_op);
	struct sock *s = op_sock(op);
	int err;

	switch ((enum msg_state)op->state) {
	case MSG_HEAD:
		if (!s)
			return op_finish(op, -ENOTSOCK);
		err = msg_read_head(op, m);
		if (!err && op->opcode == IORING_OP_SENDMSG && m->control_len)
			err = -EOPNOTSUPP;
		return err ? msg_finish(op, m, err) : op_goto(op, MSG_MOVE);
	case MSG_MOVE:
		known(s); /* MSG_HEAD has looked */
		return op->opcode == IORING_OP_SENDMSG ? sendmsg_move(op, s, m)
						       : recvmsg_move(op, s, m);
	}
	op_corrupt(op);
}

const struct op_row row_sendmsg = {
	.name = "sendmsg",
	.body_size = sizeof(struct msg_op),
	.needs_file = 1,
	.ioprio_bits = 1,
	.state_count = array_count(msg_names),
	.state_names = msg_names,
	.check = sendmsg_check,
	.step = msg_step,
	.cancel = sock_cancel,
};

const struct op_row row_recvmsg = {
	.name = "recvmsg",
	.body_size = sizeof(struct msg_op),
	.needs_file = 1,
	.ioprio_bits = 1,
	.buf_select = 1,
	.state_count = array_count(msg_names),
	.state_names = msg_names,
	.check = recvmsg_check,
	.step = msg_step,
	.cancel = sock_cancel,
};
