/*
 * poll: POLL_ADD (one-shot and multishot) and POLL_REMOVE (remove, or update events and user_data).
 * Runs on the file's core; removal looks for its target in the ring's own table and so on the
 * ring's core.
 *
 *   LOOK --no bit--> parked on file->pollers --file_poll_wake--> LOOK --bits--> done with the
 *   bits; multishot: one more CQE and back
 *
 * A multishot is edge-like: it reports again after the next wake, not while the bits merely stay.
 */
#include "ring/internal.h"

#include "uapi/errno.h"
#include "uapi/socket.h"

struct poll_op {
	uint32_t events;
	uint8_t multi;
	uint8_t reported; /* multishot: what was reported last; report again only after a wake */
};

#define POLL_ALWAYS (POLLERR | POLLHUP | POLLNVAL)

enum poll_state { POLL_LOOK };
static const char *const poll_state_names[] = { "look" };

static int poll_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct poll_op *po = op_body(op, struct poll_op);

	if (sqe->ioprio || sqe->buf_index || sqe->off || sqe->addr || sqe->splice_fd_in)
		return -EINVAL;
	if (sqe->len & ~IORING_POLL_ADD_MULTI)
		return -EINVAL;
	if ((sqe->len & IORING_POLL_ADD_MULTI) && (sqe->flags & IOSQE_CQE_SKIP_SUCCESS))
		return -EINVAL;
	po->events = (sqe->poll32_events & 0xffff) | POLL_ALWAYS;
	po->multi = !!(sqe->len & IORING_POLL_ADD_MULTI);
	po->reported = 0;
	return 0;
}

static enum step poll_step(struct op *op)
{
	struct poll_op *po = op_body(op, struct poll_op);
	struct file *f = op->file;
	uint32_t bits = f->ops->poll ? f->ops->poll(f) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

	switch ((enum poll_state)op->state) {
	case POLL_LOOK:
		/* A closed file wakes its pollers once, and never again. */
		if ((op->flags & OP_CANCELLED) || f->closed)
			return op_finish(op, -ECANCELED);
		bits &= po->events;
		if (!bits)
			return op_park(op, &f->pollers);
		if (!po->multi)
			return op_finish(op, (int32_t)bits);
		if (!op_post_more(op, (int32_t)bits, 0))
			return op_finish(op, (int32_t)bits);
		return op_park(op, &f->pollers);
	}
	op_corrupt(op);
}

static int poll_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

const struct op_row row_poll_add = {
	.name = "poll_add",
	.body_size = sizeof(struct poll_op),
	.needs_file = 1,
	.state_count = 1,
	.state_names = poll_state_names,
	.check = poll_check,
	.step = poll_step,
	.cancel = poll_cancel,
};

/* ---- POLL_REMOVE ----------------------------------------------------------------------------- */

struct poll_remove_op {
	uint64_t user_data, new_user_data;
	uint32_t events;
	uint32_t flags;
};

#define UPDATE_BITS (IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA)

static int poll_remove_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct poll_remove_op *rm = op_body(op, struct poll_remove_op);

	if (sqe->ioprio || sqe->buf_index || sqe->splice_fd_in ||
	    (sqe->len & ~(UPDATE_BITS | IORING_POLL_ADD_MULTI)))
		return -EINVAL;
	if (!(sqe->len & IORING_POLL_UPDATE_EVENTS) && sqe->poll32_events)
		return -EINVAL;
	if (!(sqe->len & IORING_POLL_UPDATE_USER_DATA) && sqe->off)
		return -EINVAL;
	if ((sqe->len & IORING_POLL_ADD_MULTI) && !(sqe->len & UPDATE_BITS))
		return -EINVAL;
	rm->user_data = sqe->addr;
	rm->new_user_data = sqe->off;
	rm->events = (sqe->poll32_events & 0xffff) | POLL_ALWAYS;
	rm->flags = sqe->len;
	return 0;
}

static struct op *poll_find(struct ring *r, uint64_t user_data)
{
	list_for_each(pos, ring_bucket(r, user_data)) {
		struct op *op = list_item(pos, struct op, inflight);

		if (op->user_data == user_data && op->row == &row_poll_add && op->life != OP_DONE)
			return op;
	}
	return NULL;
}

static enum step poll_remove_step(struct op *op)
{
	struct poll_remove_op *rm = op_body(op, struct poll_remove_op);
	struct op *found = poll_find(op->ring, rm->user_data);
	struct poll_op *po;
	int err;

	if (!found)
		return op_finish(op, -ENOENT);
	if (!(rm->flags & UPDATE_BITS)) {
		err = ring_cancel_op(this_core(), found);
		return op_finish(op, err == -EINPROGRESS ? 0 : err);
	}
	if (op_core(found) != this_core()->index || found->life != OP_PARKED)
		return op_finish(op, -EALREADY); /* being served elsewhere at this moment */
	po = op_body(found, struct poll_op);
	if (rm->flags & IORING_POLL_UPDATE_EVENTS) {
		po->events = rm->events;
		po->multi = !!(rm->flags & IORING_POLL_ADD_MULTI);
	}
	if (rm->flags & IORING_POLL_UPDATE_USER_DATA) {
		list_remove(&found->inflight);
		found->user_data = rm->new_user_data;
		list_push_back(ring_bucket(op->ring, found->user_data), &found->inflight);
	}
	op_wake(found); /* looks again with its new events */
	return op_finish(op, 0);
}

const struct op_row row_poll_remove = {
	.name = "poll_remove",
	.body_size = sizeof(struct poll_remove_op),
	.state_count = 1,
	.state_names = (const char *const[]){ "find" },
	.check = poll_remove_check,
	.step = poll_remove_step,
};
