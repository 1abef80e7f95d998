/*
 * sock_accept: ACCEPT, once or until cancelled. On the net core.
 *
 *   TAKE --nobody there--> parked on the listener's readers --handshake done--> TAKE --descriptor--> done
 *                                                                                +--multishot: one more CQE--> TAKE
 *
 * A connection that cannot be given a descriptor (-EMFILE) is reset: its peer learns it at once.
 */
#include "ring/sock.h"
#include "uapi/errno.h"

/* ---- body */

struct accept_op {
	uaddr_t name, name_len;
	uint32_t flags; /* SOCK_NONBLOCK, SOCK_CLOEXEC */
	uint32_t slot;
	uint8_t multi;
	uint8_t dontwait;
};

/* ---- states */

enum accept_state { ACCEPT_TAKE };
static const char *const accept_names[] = { "take" };

#define ACCEPT_BITS (IORING_ACCEPT_MULTISHOT | IORING_ACCEPT_DONTWAIT | IORING_ACCEPT_POLL_FIRST)

/* ---- check */

static int accept_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct accept_op *ac = op_body(op, struct accept_op);

	if (sqe->len || sqe->buf_index || (sqe->ioprio & ~ACCEPT_BITS))
		return -EINVAL;
	if (sqe->accept_flags & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (sqe->file_index && (sqe->accept_flags & SOCK_CLOEXEC))
		return -EINVAL;
	ac->multi = !!(sqe->ioprio & IORING_ACCEPT_MULTISHOT);
	if (ac->multi && sqe->file_index && sqe->file_index != IORING_FILE_INDEX_ALLOC)
		return -EINVAL;
	if (ac->multi)
		op->flags |= OP_MULTISHOT;
	ac->name = sqe->addr;
	ac->name_len = sqe->addr2;
	ac->flags = sqe->accept_flags;
	ac->slot = sqe->file_index;
	ac->dontwait = !!(sqe->ioprio & IORING_ACCEPT_DONTWAIT);
	return 0;
}

/* ---- helpers */

/* A taken connection becomes a descriptor: it, or -errno. */
static int accept_install(struct op *op, struct accept_op *ac, struct file *f)
{
	struct sock *child = sock_of(f);
	struct sock_name peer;
	int res = 0;

	known(child);
	if (ac->name) {
		/* The peer may be gone already; its address is then of length 0, as on Linux. */
		if (sock_name_peer(child, &peer))
			peer.len = 0;
		res = sock_name_write(op_aspace(op), ac->name, ac->name_len, &peer);
	}
	if (!res)
		res = op_fd_install(op, f, ac->slot, ac->flags & SOCK_CLOEXEC);
	if (res < 0)
		child->linger = (struct linger){ .l_onoff = 1 };
	file_put(f);
	return res;
}

/* ---- step */

static enum step accept_step(struct op *op)
{
	struct accept_op *ac = op_body(op, struct accept_op);
	struct sock *s = op_sock(op);
	struct file *f;
	int res;

	switch ((enum accept_state)op->state) {
	case ACCEPT_TAKE:
		if (!s)
			return op_finish(op, -ENOTSOCK);
		if (op->flags & OP_CANCELLED) {
			sock_pass_on(s);
			return op_finish(op, -ECANCELED);
		}
		res = sock_accept(s, (int)ac->flags, &f);
		if (res == -EAGAIN && !ac->dontwait && !sock_is_nonblock(s))
			return op_park(op, &s->readers);
		if (!res)
			res = accept_install(op, ac, f);
		op->cqe_flags = list_is_empty(&s->accepted) ? 0 : IORING_CQE_F_SOCK_NONEMPTY;
		if (!ac->multi || res < 0 || !op_post_more(op, res, op->cqe_flags))
			return op_finish(op, res);
		op->cqe_flags = 0;
		return op_goto(op, ACCEPT_TAKE);
	}
	op_corrupt(op);
}

const struct op_row row_accept = {
	.name = "accept",
	.body_size = sizeof(struct accept_op),
	.needs_file = 1,
	.ioprio_bits = 1,
	.state_count = array_count(accept_names),
	.state_names = accept_names,
	.check = accept_check,
	.step = accept_step,
	.cancel = sock_cancel,
};
