/*
 * more: the completions of a multishot before its last: posted at once on the ring's core, or
 * carried there by an operation of their own, out of a bounded credit.
 *
 * op_post_more runs on the op's core, the rest on the ring's.
 */
#include "ring/internal.h"

#include "base/trace.h"

static bool more_credit_take(struct ring *r)
{
	uint32_t credit = atomic_load_explicit(&r->more_credit, memory_order_relaxed);

	do
		if (!credit)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&r->more_credit, &credit, credit - 1,
						      memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void more_arrive(struct mail *m)
{
	struct op *held = container_of(m, struct op, mail);
	struct ring *r = held->ring;
	struct core *c = this_core();

	if (ring_is_elsewhere(c, r, m))
		return;
	held->ring = NULL; /* of a pool where nobody counts what the ring holds */
	if (cq_post(r, held->user_data, held->res, held->cqe_flags)) {
		more_credit_give(r);
		op_release(c, held);
	} else {
		cq_note_overflow(c, r, held);
	}
	ring_publish(c, r);
}

/*
 * A second op from this core's pool carries the CQE: to the ring's core, or in the overflow list.
 * It counts among what the ring holds; of a foreign pool, where nobody counts that, half is left
 * alone. NULL: the ring has its share, or no credit.
 */
static struct op *more_carrier(struct core *c, const struct op *op, int32_t res, uint32_t flags)
{
	struct ring *r = op->ring;
	bool here = ring_is_here(c, r);
	struct op *held;

	if (here ? !ring_may_take(c, r) : ops_free_count(c) < ops_total_count(c) / 2)
		return NULL;
	if (!more_credit_take(r))
		return NULL;
	held = op_alloc(c);
	if (!held) {
		more_credit_give(r);
		return NULL;
	}
	held->ring = r;
	if (here)
		r->ops_held++;
	held->user_data = op->user_data;
	held->res = res;
	held->cqe_flags = flags;
	held->life = OP_DONE;
	return held;
}

static void more_trace(const struct op *op, int32_t res)
{
	trace_hot(TRACE_COMPLETE, (uint32_t)res, op->ring->id | TRACE_MORE, op->user_data);
}

bool op_post_more(struct op *op, int32_t res, uint32_t cqe_flags)
{
	struct core *c = this_core();
	struct ring *r = op->ring;
	struct op *held;

	cqe_flags |= IORING_CQE_F_MORE;
	if (ring_is_here(c, r) && cq_post(r, op->user_data, res, cqe_flags)) {
		more_trace(op, res);
		ring_publish(c, r);
		return true;
	}
	held = more_carrier(c, op, res, cqe_flags);
	if (!held)
		return false;
	more_trace(op, res);
	if (ring_is_here(c, r)) {
		cq_note_overflow(c, r, held);
		return true;
	}
	held->mail.deliver = more_arrive;
	mailbox_post(ring_post_core(r), &held->mail);
	return true;
}
