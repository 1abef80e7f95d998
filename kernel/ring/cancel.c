/*
 * cancel: ASYNC_CANCEL, and ending everything a dying ring has in flight.
 *
 * An op is cancelled on the core where it runs. From elsewhere the request travels in the op's own
 * cancel_mail, after an op that was given away, and back to where the ring is by then; its memory
 * is kept until the request is back, even if it completes first.
 *
 *   ASYNC_CANCEL: MATCH --found here--> done with 0, -EALREADY or the number of matches (ALL)
 *                       --none--> -ENOENT (0 with ALL or ANY)
 */
#include "ring/internal.h"

#include "uapi/errno.h"

struct cancel_op {
	uint64_t user_data;
	uint32_t flags;
	int32_t fd;
	uint32_t opcode;
	struct file *file;
};

#define CANCEL_FLAGS                                                                               \
	(IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY |              \
	 IORING_ASYNC_CANCEL_FD_FIXED | IORING_ASYNC_CANCEL_USERDATA | IORING_ASYNC_CANCEL_OP)

static int cancel_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct cancel_op *cn = op_body(op, struct cancel_op);
	uint32_t f = sqe->cancel_flags;

	if (sqe->off || sqe->splice_fd_in || (f & ~CANCEL_FLAGS))
		return -EINVAL;
	if ((f & IORING_ASYNC_CANCEL_ANY) &&
	    (f & (IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP)))
		return -EINVAL;
	cn->user_data = sqe->addr;
	cn->flags = f;
	cn->fd = sqe->fd;
	cn->opcode = sqe->len;
	cn->file = NULL;
	if (!(f & (IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_OP)))
		cn->flags |= IORING_ASYNC_CANCEL_USERDATA;
	return 0;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static void cancel_back(struct mail *m)
{
	struct op *op = container_of(m, struct op, cancel_mail);
	struct ring *r = op->ring;
	struct core *c = this_core();

	if (ring_is_elsewhere(c, r, m))
		return;
	op->cancel_mail.deliver = NULL;
	/* It may be done and still on its way: then its own mail comes behind this one. */
	if (op->life != OP_DONE || op->mail.deliver)
		return;
	/* It had completed meanwhile, on this core, and was kept for us. */
	ring_complete(c, r, op);
	ring_begin_ready(c);
	ring_publish(c, r);
}

static void cancel_there(struct mail *m)
{
	struct op *op = container_of(m, struct op, cancel_mail);

	if (op->life != OP_DONE) {
		unsigned core = op_core(op);

		if (core != this_core()->index || op->life == OP_TRAVELLING) {
			mailbox_post(core, m); /* given away, or not here yet: behind it */
			return;
		}
		(void)op_cancel(op);
	}
	op->cancel_mail.deliver = cancel_back;
	mailbox_post(ring_post_core(op->ring), &op->cancel_mail);
}

int ring_cancel_op(struct core *c, struct op *op)
{
	unsigned core;

	if (op->life == OP_DONE)
		return -ENOENT;
	core = op_core(op);
	if (core == c->index && op->life != OP_TRAVELLING)
		return op_cancel(op);
	if (op_cancel_is_out(op))
		return -EALREADY;
	op->cancel_mail.deliver = cancel_there;
	mailbox_post(core, &op->cancel_mail);
	return -EINPROGRESS;
}

unsigned ring_cancel_all(struct core *c, struct ring *r)
{
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each_safe(pos, &r->inflight[i])
			(void)ring_cancel_op(c, list_item(pos, struct op, inflight));
	return r->inflight_count;
}

static bool cancel_matches(const struct op *self, const struct cancel_op *cn, const struct op *op)
{
	if (op == self || op->life == OP_DONE)
		return false;
	if (cn->flags & IORING_ASYNC_CANCEL_ANY)
		return true;
	if ((cn->flags & IORING_ASYNC_CANCEL_FD) && op->file != cn->file)
		return false;
	if ((cn->flags & IORING_ASYNC_CANCEL_OP) && op->opcode != cn->opcode)
		return false;
	if ((cn->flags & IORING_ASYNC_CANCEL_USERDATA) && op->user_data != cn->user_data)
		return false;
	return true;
}

static int cancel_in_bucket(struct op *self, struct cancel_op *cn, struct list *bucket, bool all,
			    int *last)
{
	int n = 0;

	list_for_each_safe(pos, bucket) {
		struct op *op = list_item(pos, struct op, inflight);
		int err;

		if (!cancel_matches(self, cn, op))
			continue;
		err = ring_cancel_op(this_core(), op);
		if (err == -ENOENT)
			continue;
		*last = err == -EINPROGRESS ? 0 : err;
		n++;
		if (!all)
			break;
	}
	return n;
}

static int cancel_match(struct op *op, struct cancel_op *cn)
{
	bool all = cn->flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
	int n = 0, last = -ENOENT;

	if (cn->flags & IORING_ASYNC_CANCEL_USERDATA)
		n = cancel_in_bucket(op, cn, ring_bucket(op->ring, cn->user_data), all, &last);
	else
		for (unsigned i = 0; i < RING_HASH && (all || !n); i++)
			n += cancel_in_bucket(op, cn, &op->ring->inflight[i], all, &last);
	return all ? n : last;
}

/* ---- step ------------------------------------------------------------------------------------ */

static enum step cancel_step(struct op *op)
{
	struct cancel_op *cn = op_body(op, struct cancel_op);
	int res;

	if (cn->flags & IORING_ASYNC_CANCEL_FD) {
		struct ring *r = op->ring;

		cn->file = cn->flags & IORING_ASYNC_CANCEL_FD_FIXED ? ring_fixed_file(r, cn->fd)
								    : fd_get(r->proc, cn->fd);
		if (!cn->file)
			return op_finish(op, -EBADF);
	}
	res = cancel_match(op, cn);
	if (cn->file)
		file_put(cn->file);
	return op_finish(op, res);
}

const struct op_row row_cancel = {
	.name = "async_cancel",
	.body_size = sizeof(struct cancel_op),
	.state_count = 1,
	.state_names = (const char *const[]){ "match" },
	.check = cancel_check,
	.step = cancel_step,
};
