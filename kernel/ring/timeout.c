/*
 * timeout: TIMEOUT (a time, a number of completions, or both), TIMEOUT_REMOVE (remove or update
 * one) and LINK_TIMEOUT (guards the entry before it in its chain).
 *
 *   TIMEOUT:  ARM --parked on a timer and a count--> WAIT --timer: -ETIME; count reached: 0;
 *             cancelled: -ECANCELED--> done
 *   LINK_TIMEOUT never steps: it is started with the op it guards and ends when that ends (chain.c).
 *
 * A timeout that counts completions is on ring->counted, in the order of arming. Ring's core only;
 * both follow their ring to another core (move.c), timer and all.
 */
#include "ring/internal.h"

#include "uapi/errno.h"

struct timeout_op {
	struct timer timer;
	struct op *guarded; /* LINK_TIMEOUT */
	struct list counted;
	uaddr_t at;	 /* the program's timespec, or the immediate nanoseconds */
	uint32_t count;	 /* completions wanted, 0: none */
	uint32_t target; /* CQ tail at which the count is reached */
	uint32_t flags;
	uint8_t fired;
	uint8_t counted_down;
	uint8_t armed, woken; /* while its ring is between two cores: what it was before */
};

enum timeout_state { TIMEOUT_ARM, TIMEOUT_WAIT };

static const char *const timeout_state_names[] = { "arm", "wait" };

/* ---- helpers --------------------------------------------------------------------------------- */

int timespec_read(struct aspace *as, uaddr_t at, nsec_t *ns)
{
	struct __kernel_timespec ts;
	int err = user_read(as, at, &ts, sizeof(ts));

	if (err)
		return err;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= 1000000000)
		return -EINVAL;
	*ns = ts.tv_sec > 9000000000ll ? NSEC_NEVER / 2
				       : (nsec_t)ts.tv_sec * 1000000000u + (nsec_t)ts.tv_nsec;
	return 0;
}

nsec_t timeout_deadline(nsec_t ns, uint32_t flags)
{
	nsec_t now = arch_time_ns();

	if (!(flags & IORING_TIMEOUT_ABS))
		return now + ns;
	if (flags & IORING_TIMEOUT_REALTIME) {
		nsec_t boot = arch_wall_boot_ns();

		return ns > boot ? ns - boot : 0;
	}
	return ns; /* monotonic and boot time are one clock here: the machine never suspends */
}

static int timeout_when(struct op *op, uaddr_t at, uint32_t flags, nsec_t *deadline)
{
	nsec_t ns = at;
	int err = 0;

	if (!(flags & IORING_TIMEOUT_IMMEDIATE_ARG))
		err = timespec_read(op_aspace(op), at, &ns);
	if (!err)
		*deadline = timeout_deadline(ns, flags);
	return err;
}

static void timeout_fire(struct timer *t)
{
	struct timeout_op *to = container_of(t, struct timeout_op, timer);

	to->fired = 1;
	op_wake(container_of((char *)to, struct op, body[0]));
}

static void timeout_uncount(struct ring *r, struct timeout_op *to)
{
	if (!list_is_linked(&to->counted))
		return;
	list_remove(&to->counted);
	r->watchers--;
}

void timeouts_count(struct core *c, struct ring *r)
{
	(void)c;
	list_for_each_safe(pos, &r->counted) {
		struct timeout_op *to = list_item(pos, struct timeout_op, counted);

		if ((int32_t)(ring_cq_tail(r) - to->target) < 0)
			continue;
		timeout_uncount(r, to);
		to->counted_down = 1;
		op_wake(container_of((char *)to, struct op, body[0]));
	}
}

/* ---- TIMEOUT --------------------------------------------------------------------------------- */

#define TIMEOUT_FLAGS                                                                              \
	(IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK | IORING_TIMEOUT_ETIME_SUCCESS |           \
	 IORING_TIMEOUT_MULTISHOT | IORING_TIMEOUT_IMMEDIATE_ARG)

static int timeout_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct timeout_op *to = op_body(op, struct timeout_op);
	uint32_t flags = sqe->timeout_flags;

	if (sqe->len != 1 || sqe->ioprio || sqe->buf_index || sqe->splice_fd_in ||
	    (flags & ~TIMEOUT_FLAGS))
		return -EINVAL;
	if ((flags & IORING_TIMEOUT_CLOCK_MASK) == IORING_TIMEOUT_CLOCK_MASK)
		return -EINVAL;
	if ((flags & IORING_TIMEOUT_MULTISHOT) && (flags & IORING_TIMEOUT_ABS))
		return -EINVAL;
	if (sqe->off > UINT32_MAX)
		return -EINVAL;
	to->at = sqe->addr;
	to->count = (uint32_t)sqe->off;
	to->flags = flags;
	to->fired = to->counted_down = 0;
	timer_init(&to->timer, timeout_fire);
	list_init(&to->counted);
	return 0;
}

static enum step timeout_end(struct op *op, struct timeout_op *to, int32_t res)
{
	timer_disarm(&to->timer);
	timeout_uncount(op->ring, to);
	return op_finish(op, res);
}

/* A multishot timeout fired: one more CQE, or the end when `count` shots are used up. */
static enum step timeout_again(struct op *op, struct timeout_op *to)
{
	nsec_t deadline;

	if (to->count && --to->count == 0)
		return timeout_end(op, to, -ETIME);
	if (timeout_when(op, to->at, to->flags, &deadline) || !op_post_more(op, -ETIME, 0))
		return timeout_end(op, to, -ETIME);
	to->fired = 0;
	timer_arm(&to->timer, deadline);
	return op_park_alone(op);
}

static enum step timeout_step(struct op *op)
{
	struct timeout_op *to = op_body(op, struct timeout_op);
	nsec_t deadline;
	int err;

	switch ((enum timeout_state)op->state) {
	case TIMEOUT_ARM:
		err = timeout_when(op, to->at, to->flags, &deadline);
		if (err)
			return op_finish(op, err);
		if (to->count && !(to->flags & IORING_TIMEOUT_MULTISHOT)) {
			to->target = ring_cq_tail(op->ring) + to->count;
			list_push_back(&op->ring->counted, &to->counted);
			op->ring->watchers++;
		}
		op->state = TIMEOUT_WAIT;
		timer_arm(&to->timer, deadline);
		return op_park_alone(op);
	case TIMEOUT_WAIT:
		/* first: whoever cancelled it was told that it is cancelled */
		if (op->flags & OP_CANCELLED)
			return timeout_end(op, to, -ECANCELED);
		if (to->counted_down)
			return timeout_end(op, to, 0);
		if (!to->fired)
			return op_park_alone(op);
		if (to->flags & IORING_TIMEOUT_MULTISHOT)
			return timeout_again(op, to);
		return timeout_end(op, to, -ETIME);
	}
	op_corrupt(op);
}

void timeout_leave(struct op *op)
{
	struct timeout_op *to = op_body(op, struct timeout_op);

	to->armed = timer_disarm(&to->timer);
	to->woken = op->life == OP_RUNNABLE;
	if (to->woken)
		op_unqueue(op);
}

void timeout_join(struct core *c, struct op *op)
{
	struct timeout_op *to = op_body(op, struct timeout_op);

	op->core = (uint8_t)c->index;
	if (to->armed)
		timer_arm(&to->timer, to->timer.deadline);
	if (to->woken)
		op_wake(op);
}

bool timeout_is_success(const struct op *op)
{
	return ((const struct timeout_op *)(const void *)op->body)->flags &
	       IORING_TIMEOUT_ETIME_SUCCESS;
}

static int timeout_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

const struct op_row row_timeout = {
	.name = "timeout",
	.body_size = sizeof(struct timeout_op),
	.state_count = 2,
	.state_names = timeout_state_names,
	.check = timeout_check,
	.step = timeout_step,
	.cancel = timeout_cancel,
};

/* ---- TIMEOUT_REMOVE -------------------------------------------------------------------------- */

struct timeout_remove_op {
	uint64_t user_data;
	uaddr_t at;
	uint32_t flags;
};

#define UPDATE_FLAGS                                                                               \
	(IORING_TIMEOUT_UPDATE_MASK | IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK |             \
	 IORING_TIMEOUT_IMMEDIATE_ARG)

static int timeout_remove_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct timeout_remove_op *rm = op_body(op, struct timeout_remove_op);

	if (sqe->ioprio || sqe->buf_index || sqe->len || sqe->splice_fd_in ||
	    (sqe->flags & IOSQE_FIXED_FILE))
		return -EINVAL;
	rm->user_data = sqe->addr;
	rm->at = sqe->off;
	rm->flags = sqe->timeout_flags;
	if (rm->flags & IORING_TIMEOUT_UPDATE_MASK ? rm->flags & ~UPDATE_FLAGS : rm->flags)
		return -EINVAL;
	if ((rm->flags & IORING_TIMEOUT_UPDATE_MASK) == IORING_TIMEOUT_UPDATE_MASK)
		return -EINVAL;
	return 0;
}

static struct op *timeout_find(struct ring *r, uint64_t user_data, const struct op_row *row)
{
	list_for_each(pos, ring_bucket(r, user_data)) {
		struct op *op = list_item(pos, struct op, inflight);

		if (op->user_data != user_data || op->life == OP_DONE)
			continue;
		if (op->row == row)
			return op;
	}
	return NULL;
}

/* A link timeout is not in flight by itself: it hangs behind the op it guards. */
static struct op *link_timeout_find(struct ring *r, uint64_t user_data)
{
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each(pos, &r->inflight[i]) {
			struct op *op = list_item(pos, struct op, inflight);

			if ((op->flags & OP_TIMED) && op->chain->user_data == user_data)
				return op->chain;
		}
	return NULL;
}

static enum step timeout_remove_step(struct op *op)
{
	struct timeout_remove_op *rm = op_body(op, struct timeout_remove_op);
	struct timeout_op *to;
	struct op *found;
	nsec_t deadline;
	int err;

	if (!(rm->flags & IORING_TIMEOUT_UPDATE_MASK)) {
		found = timeout_find(op->ring, rm->user_data, &row_timeout);
		if (!found)
			return op_finish(op, -ENOENT);
		err = op_cancel(found);
		return op_finish(op, err == -EALREADY ? -EALREADY : err);
	}
	err = timeout_when(op, rm->at, rm->flags, &deadline);
	if (err)
		return op_finish(op, err);
	found = rm->flags & IORING_LINK_TIMEOUT_UPDATE
			? link_timeout_find(op->ring, rm->user_data)
			: timeout_find(op->ring, rm->user_data, &row_timeout);
	if (!found)
		return op_finish(op, -ENOENT);
	to = op_body(found, struct timeout_op);
	if (to->fired || !timer_is_armed(&to->timer))
		return op_finish(op, -EALREADY);
	timer_arm(&to->timer, deadline);
	return op_finish(op, 0);
}

const struct op_row row_timeout_remove = {
	.name = "timeout_remove",
	.body_size = sizeof(struct timeout_remove_op),
	.state_count = 1,
	.state_names = (const char *const[]){ "remove" },
	.check = timeout_remove_check,
	.step = timeout_remove_step,
};

/* ---- LINK_TIMEOUT ---------------------------------------------------------------------------- */

static int link_timeout_check(struct op *op, const struct io_uring_sqe *sqe)
{
	int err = timeout_check(op, sqe);

	if (err || sqe->off)
		return -EINVAL;
	if (sqe->timeout_flags &
	    ~(IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK | IORING_TIMEOUT_IMMEDIATE_ARG))
		return -EINVAL;
	op_body(op, struct timeout_op)->guarded = NULL;
	return 0;
}

static void link_timeout_fire(struct timer *t)
{
	struct timeout_op *to = container_of(t, struct timeout_op, timer);
	int err = ring_cancel_op(this_core(), to->guarded);

	/* It counts as fired only if it stopped the op: one that ends by itself at the same moment
	 * was in time. */
	to->fired = err == 0 || err == -EINPROGRESS;
}

void link_timeout_start(struct op *lt, struct op *guarded)
{
	struct timeout_op *to = op_body(lt, struct timeout_op);
	nsec_t deadline;

	guarded->flags |= OP_TIMED;
	to->guarded = guarded;
	timer_init(&to->timer, link_timeout_fire);
	if (timeout_when(lt, to->at, to->flags, &deadline) == 0)
		timer_arm(&to->timer, deadline);
}

void link_timeout_leave(struct op *lt)
{
	struct timeout_op *to = op_body(lt, struct timeout_op);

	to->armed = timer_disarm(&to->timer);
}

void link_timeout_join(struct op *lt)
{
	struct timeout_op *to = op_body(lt, struct timeout_op);

	if (to->armed)
		timer_arm(&to->timer, to->timer.deadline);
}

bool link_timeout_stop(struct op *lt)
{
	struct timeout_op *to = op_body(lt, struct timeout_op);

	timer_disarm(&to->timer);
	return to->fired;
}

/* Reached only when it follows nothing it could guard: chain.c refuses that at accept. */
static enum step link_timeout_step(struct op *op)
{
	return op_finish(op, -EINVAL);
}

const struct op_row row_link_timeout = {
	.name = "link_timeout",
	.body_size = sizeof(struct timeout_op),
	.state_count = 1,
	.state_names = (const char *const[]){ "guard" },
	.check = link_timeout_check,
	.step = link_timeout_step,
};
