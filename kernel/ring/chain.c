/*
 * chain: the careful path of submission: link chains, IO_DRAIN, allow-lists, disabled and dying
 * rings; and beginning an op that was accepted earlier.
 *
 *  accept (link)    --> collected on the ring --last member or end of batch--> head begins
 *  member completes --> ok, or hard link: next member to the core's ready list --> ring_begin
 *                       failed or short:  the rest completes with -ECANCELED, in order
 *  accept (drain)   --> held on ring->drained until nothing is in flight; everything behind it is held too
 *
 * Members of a chain keep their descriptor in op->res until they begin, because an earlier member
 * may open it (IORING_FEAT_LINKED_FILE). Ring's core only.
 */
#include "ring/internal.h"

#include "base/trace.h"
#include "uapi/errno.h"

#define LINK_FLAGS (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)

/* ---- checks every opcode shares -------------------------------------------------------------- */

static bool map_has(const uint64_t *map, unsigned bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/* The one policy point: allow-lists by opcode and by system-call number. */
static int ring_check_allowed(struct ring *r, const struct io_uring_sqe *sqe)
{
	const struct process *p = r->proc;
	unsigned nr = (uint32_t)sqe->fd & 0xffff;

	if (!p || !p->restricted)
		return 0;
	if (!map_has(p->allow_opcode, sqe->opcode))
		return -EACCES;
	if (sqe->opcode == IORING_OP_SYSCALL && (nr >= 512 || !map_has(p->allow_syscall, nr)))
		return -EACCES;
	return 0;
}

int ring_resolve_file(struct ring *r, struct op *op)
{
	int32_t fd = op->res;

	if (op->sqe_flags & IOSQE_FIXED_FILE) {
		op->file = ring_fixed_file(r, fd);
		return op->file ? 0 : -EBADF;
	}
	op->file = fd_get(r->proc, fd);
	return op->file ? 0 : -EBADF;
}

/* What the home core's turn would have done, a ring away from home does itself where it may. */
static uint32_t place_home(const struct ring *r, const struct op *op, uint32_t here)
{
	if (unlikely(r->proc->home != here) && op->row->placed &&
	    op->row->placed(op) == OP_PLACE_ANY)
		return here;
	return r->proc->home;
}

uint32_t ring_place(const struct ring *r, const struct op *op)
{
	uint32_t here = this_core()->index;

	if (op->file) {
		if (op->file->core != here && op->row->spread && op->file->ops->place)
			return op->file->ops->place(op->file, here);
		return op->file->core;
	}
	if (op->row->place == OP_PLACE_NET)
		return core_with_role(ROLE_NET)->index;
	if (op->row->place == OP_PLACE_HOME)
		return place_home(r, op, here);
	return here;
}

/* So many begin where they stand, one after the other; the next ones from the run queue, so that a
 * long chain is not one long step. */
#define BEGIN_MAX 32u

/* ---- beginning ------------------------------------------------------------------------------- */

void ring_begin(struct core *c, struct ring *r, struct op *op)
{
	uint32_t place;
	int err = 0;

	list_push_back(ring_bucket(r, op->user_data), &op->inflight);
	r->inflight_count++;
	r->unbegun_count--;
	op->life = OP_STEPPING;
	op->core = (uint8_t)c->index; /* the ring may have moved since it was accepted */
	if ((r->slow & RING_SLOW_DEAD) || (op->flags & OP_CANCELLED))
		err = -ECANCELED;
	else if (op->row->needs_file)
		err = ring_resolve_file(r, op);
	if (err) {
		op->res = err;
		op->life = OP_DONE;
		ring_complete(c, r, op);
		return;
	}
	if (op->chain && op->chain->row == &row_link_timeout)
		link_timeout_start(op->chain, op);
	place = ring_place(r, op);
	if (place != c->index) {
		ring_visits(r, place);
		op_send(op, place);
	} else if (unlikely(op->priority > OP_PRIORITY_NORMAL || c->rings->begun >= BEGIN_MAX)) {
		op_run_later(op); /* behind whatever is more urgent, or runnable */
	} else {
		op_run(op);
	}
}

unsigned ring_begin_listed(struct core *c)
{
	struct ring_core *rc = c->rings;
	struct list *first;
	unsigned n;

	if (rc->beginning)
		return 0; /* one that is done at once: whoever began it goes on with the next */
	rc->beginning = true;
	for (rc->begun = 0; (first = list_pop_front(&rc->ready)); rc->begun++) {
		struct op *op = list_item(first, struct op, link);
		struct ring *r = op->ring;

		ring_begin(c, r, op);
		ring_publish(c, r);
	}
	n = rc->begun;
	rc->begun = 0;
	rc->beginning = false;
	return n;
}

static uint32_t chain_length(const struct op *op)
{
	uint32_t n = 0;

	for (; op; op = op->chain)
		n++;
	return n;
}

/* The rest of a chain ends unbegun, in order: a member whose check had failed with its own error,
 * the others with -ECANCELED; or, `silent`, without a word. */
static void chain_fail_rest(struct core *c, struct ring *r, struct op *op, bool silent)
{
	while (op) {
		struct op *next = op->chain;

		op->chain = NULL;
		if (silent)
			op->flags |= OP_SILENT;
		ring_complete_unbegun(c, r, op, op->life == OP_DONE ? op->res : -ECANCELED);
		op = next;
	}
}

/* A single op or a whole chain may begin: every member counts until it has, or has ended
 * unbegun. */
static void ring_let_go(struct core *c, struct ring *r, struct op *op)
{
	r->unbegun_count += chain_length(op);
	list_push_back(&c->rings->ready, &op->link);
}

/* ---- drain ----------------------------------------------------------------------------------- */

static void drain_hold(struct ring *r, struct op *op)
{
	r->slow |= RING_SLOW_DRAIN;
	list_push_back(&r->drained, &op->link);
}

/* Has something that was let go not been answered yet? */
static bool drain_has_before(const struct ring *r)
{
	return r->inflight_count | r->unbegun_count;
}

static bool drain_must_wait(const struct ring *r, const struct op *op)
{
	if (!list_is_empty(&r->drained))
		return true;
	return (op->sqe_flags & IOSQE_IO_DRAIN) && drain_has_before(r);
}

void ring_drain_advance(struct core *c, struct ring *r)
{
	struct list *held;

	/* A dead ring begins nothing any more: its last op in flight is really its last. */
	while ((r->slow & RING_SLOW_DEAD) && (held = list_pop_front(&r->drained)))
		chain_fail_rest(c, r, list_item(held, struct op, link), false);
	while (!list_is_empty(&r->drained)) {
		struct op *op = list_item(r->drained.next, struct op, link);

		if ((op->sqe_flags & IOSQE_IO_DRAIN) && drain_has_before(r))
			return;
		list_remove(&op->link);
		ring_let_go(c, r, op);
	}
	r->slow &= (uint8_t)~RING_SLOW_DRAIN;
}

/* A single op or a whole chain is ready to go: now, or behind the drain. */
static void ring_go(struct core *c, struct ring *r, struct op *op)
{
	if (drain_must_wait(r, op))
		drain_hold(r, op);
	else
		ring_let_go(c, r, op);
}

/* ---- chains ---------------------------------------------------------------------------------- */

void ring_chain_end(struct core *c, struct ring *r)
{
	struct op *head = r->chain_head;
	bool head_quiet = head && (head->sqe_flags & IOSQE_CQE_SKIP_SUCCESS);

	r->chain_head = r->chain_tail = NULL;
	r->slow &= (uint8_t)~RING_SLOW_CHAIN;
	if (!head)
		return;
	if (r->chain_failed) {
		struct op *rest = head->chain;

		/* the head answers for all of it, if it was to answer only then */
		head->chain = NULL;
		chain_fail_rest(c, r, head, false);
		chain_fail_rest(c, r, rest, head_quiet);
	} else {
		ring_go(c, r, head);
	}
	r->chain_failed = 0;
}

static void chain_add(struct core *c, struct ring *r, struct op *op, int err)
{
	if (err) {
		op->life = OP_DONE;
		op->res = err;
		r->chain_failed = 1;
	}
	if (r->chain_tail)
		r->chain_tail->chain = op;
	else
		r->chain_head = op;
	r->chain_tail = op;
	r->slow |= RING_SLOW_CHAIN;
	if (!(op->sqe_flags & LINK_FLAGS))
		ring_chain_end(c, r);
}

bool ring_op_failed(const struct op *op)
{
	if (op->row == &row_timeout && op->res == -ETIME)
		return !timeout_is_success(op);
	return op->res < 0 || (op->extra && op->opcode != IORING_OP_SYSCALL);
}

void ring_chain_advance(struct core *c, struct ring *r, struct op *op)
{
	struct op *next = op->chain;
	bool broken = ring_op_failed(op);
	bool silent = broken && (op->sqe_flags & IOSQE_CQE_SKIP_SUCCESS);
	bool hard = op->sqe_flags & IOSQE_IO_HARDLINK;

	op->chain = NULL;
	if (next && next->row == &row_link_timeout) { /* armed or not: `op` may not have begun */
		struct op *lt = next;
		bool fired = link_timeout_stop(lt);

		op->flags &= (uint8_t)~OP_TIMED;
		r->unbegun_count--;
		next = lt->chain;
		lt->chain = NULL;
		/* whether it fires or not, it succeeds */
		if (lt->sqe_flags & IOSQE_CQE_SKIP_SUCCESS)
			lt->flags |= OP_SILENT;
		ring_complete_unbegun(c, r, lt, fired ? -ETIME : -ECANCELED);
	}
	if (!next)
		return;
	if ((broken && !hard) || (r->slow & RING_SLOW_DEAD)) {
		r->unbegun_count -= chain_length(next);
		chain_fail_rest(c, r, next, silent);
	} else {
		list_push_back(&c->rings->ready, &next->link);
	}
}

/* ---- the careful accept ---------------------------------------------------------------------- */

void ring_accept_careful(struct core *c, struct ring *r, struct io_uring_sqe *sqe)
{
	const struct op_row *row = op_table[sqe->opcode];
	struct op *op = c->hand;
	bool linked = r->chain_head || (sqe->flags & LINK_FLAGS);
	const struct io_uring_sqe *asks = sqe;
	struct io_uring_sqe other;
	int err, priority = ring_take_priority(r, row, sqe);

	c->hand = NULL;
	r->ops_held++;
	op->ring = r;
	op->row = row;
	op->user_data = sqe->user_data;
	op->cqe_flags = 0;
	op->extra = 0;
	op->word = op_word(OP_HELD, sqe->opcode, sqe->flags, ring_priority(r), c->index, c->index);
	trace_hot(TRACE_TAKE, sqe->opcode | r->id << 8, (uintptr_t)op, sqe->user_data);
	if (r->slow & RING_SLOW_DEAD)
		err = -ECANCELED;
	else
		err = ring_check_allowed(r, sqe);
	if (!err && priority < 0)
		err = priority;
	if (!err)
		op->priority = (uint8_t)priority;
	if (!err && row == &row_syscall)
		op->row = row = sys_translate(row, &asks, &other, &err);
	if (!err)
		err = ring_check(op, row, asks);
	if (!err && row == &row_link_timeout &&
	    (!r->chain_head || r->chain_tail->row == &row_link_timeout))
		err = -EINVAL; /* it guards the entry before it */
	op->res = asks->fd;
	if (err)
		r->batch_failed = !(r->setup & IORING_SETUP_SUBMIT_ALL);
	if (linked)
		chain_add(c, r, op, err);
	else if (err)
		ring_complete_unbegun(c, r, op, err);
	else
		ring_go(c, r, op);
}
