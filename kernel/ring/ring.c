/*
 * ring: entries in, completions out; the path every system call takes. See ring.h for the life of an entry.
 *
 * Runs on the ring's core only. Barriers: the SQ tail is loaded with acquire (pairs with the program's release store in its
 * publish), the SQ head and the CQ tail are stored with release (pair with the program's acquire loads), the CQ head is loaded with
 * acquire (pairs with the program's release store after reading a CQE).
 */
#include "ring/internal.h"

#include "base/trace.h"
#include "uapi/errno.h"

#define BATCH_MAX 32	 /* entries between two publications */
#define BATCHES_PER_TURN 4

/* SQE flags that the quick path understands; links and drains take the careful one. */
#define QUICK_FLAGS (IOSQE_FIXED_FILE | IOSQE_ASYNC | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)

/* ---- completions ---------------------------------------------------------------------------------- */

static void cq_note_overflow(struct core *c, struct ring *r, struct op *op)
{
	c->count->cq_overflows++;
	list_push_back(&r->overflow, &op->link);
	atomic_fetch_or_explicit(&r->shared->sq_flags, IORING_SQ_CQ_OVERFLOW, memory_order_relaxed);
}

/* The next free CQE, or NULL when the program has not made room. A program that lies about its head only overwrites its own CQEs. */
static inline struct io_uring_cqe *cq_slot(struct ring *r)
{
	uint32_t used = r->cq_tail - r->cq_head_seen;

	if (unlikely(used > r->cq_mask)) {
		r->cq_head_seen = atomic_load_explicit(&r->shared->cq_head, memory_order_acquire);
		used = r->cq_tail - r->cq_head_seen;
		if (used > r->cq_mask)
			return NULL;
	}
	return &r->cqes[r->cq_tail & r->cq_mask];
}

static inline bool cq_post(struct ring *r, uint64_t user_data, int32_t res, uint32_t flags)
{
	struct io_uring_cqe *cqe = cq_slot(r);

	if (unlikely(!cqe))
		return false;
	cqe->user_data = user_data;
	cqe->res = res;
	cqe->flags = flags;
	r->cq_tail++;
	return true;
}

static inline void op_result64(const struct ring *r, struct op *op)
{
	if (r->result64)
		op->cqe_flags = (uint32_t)op->extra;
	else if ((int64_t)((op->extra << 32) | (uint32_t)op->res) != (int64_t)op->res)
		op->res = -EOVERFLOW;
}

/* Posts the op's CQE or holds it back in order. Returns false if the op now holds its CQE and must be kept. */
static bool op_post(struct core *c, struct ring *r, struct op *op)
{
	if (unlikely(op->opcode == IORING_OP_SYSCALL)) {
		if (!(op->flags & OP_RESULT64))
			op->extra = (uint64_t)(int64_t)op->res >> 32;
		if (r->kind == RING_SLOT) {
			door_deliver(r, (int64_t)((op->extra << 32) | (uint32_t)op->res));
			return true;
		}
		op_result64(r, op);
	}
	if (unlikely((op->sqe_flags & IOSQE_CQE_SKIP_SUCCESS) && op->res >= 0))
		return true;
	trace_hot(TRACE_COMPLETE, (uint32_t)op->res, r->id, op->user_data);
	if (likely(list_is_empty(&r->overflow)) && likely(cq_post(r, op->user_data, op->res, op->cqe_flags)))
		return true;
	cq_note_overflow(c, r, op);
	return false;
}

void ring_publish(struct core *c, struct ring *r)
{
	if (r->cq_tail == r->cq_published || unlikely(!r->shared))
		return;
	c->count->cqes += r->cq_tail - r->cq_published;
	r->cq_published = r->cq_tail;
	atomic_store_explicit(&r->shared->cq_tail, r->cq_tail, memory_order_release);
	if (unlikely(!list_is_empty(&r->counted)))
		timeouts_count(c, r);
	if (!list_is_empty(&r->waiters))
		enter_wake(c, r);
	file_poll_wake(&r->file);
}

uint32_t ring_ready(struct ring *r)
{
	return r->cq_tail - atomic_load_explicit(&r->shared->cq_head, memory_order_acquire);
}

static void op_go_home(struct mail *m)
{
	op_free(this_core(), container_of(m, struct op, mail));
}

static void op_release(struct core *c, struct op *op)
{
	if (op->home == c->index) {
		op_free(c, op);
		return;
	}
	op->mail.deliver = op_go_home;
	mailbox_post(op->home, &op->mail);
}

void ring_flush_overflow(struct core *c, struct ring *r)
{
	while (!list_is_empty(&r->overflow)) {
		struct op *op = list_item(r->overflow.next, struct op, link);

		if (!cq_post(r, op->user_data, op->res, op->cqe_flags))
			return;
		list_remove(&op->link);
		if (op->cqe_flags & IORING_CQE_F_MORE)
			r->more_credit++;
		op_release(c, op);
	}
	if (r->shared)
		atomic_fetch_and_explicit(&r->shared->sq_flags, ~IORING_SQ_CQ_OVERFLOW, memory_order_relaxed);
}

/* A dying ring is empty: its process waits for that, or its last descriptor went before its last op. */
static void ring_last_op_done(struct core *c, struct ring *r)
{
	if (r->proc->state == PROCESS_DYING)
		process_poke(r->proc);
	else
		ring_reap(c, r);
}

void ring_complete(struct core *c, struct ring *r, struct op *op)
{
	if (unlikely(op_cancel_is_out(op)))
		return; /* a cancellation is on its way to it: completed again when that is back */
	if (op->file) {
		file_put(op->file);
		op->file = NULL;
	}
	if (list_is_linked(&op->inflight)) {
		list_remove(&op->inflight);
		r->inflight_count--;
	}
	if (unlikely(op->chain))
		ring_chain_advance(c, r, op);
	if (op_post(c, r, op))
		op_release(c, op);
	if (unlikely(r->slow & (RING_SLOW_DRAIN | RING_SLOW_DEAD))) {
		ring_drain_advance(c, r);
		if ((r->slow & RING_SLOW_DEAD) && !r->inflight_count)
			ring_last_op_done(c, r);
	}
}

void ring_complete_unbegun(struct core *c, struct ring *r, struct op *op, int32_t res)
{
	op->life = OP_DONE;
	op->res = res;
	if (op_post(c, r, op))
		op_release(c, op);
}

static void op_return(struct mail *m)
{
	struct op *op = container_of(m, struct op, mail);
	struct ring *r = op->ring;
	struct core *c = this_core();

	ring_complete(c, r, op);
	ring_begin_ready(c);
	ring_publish(c, r);
}

/* The executor's hook: an op is done, on the core where it ran. */
static void ring_op_done(struct op *op)
{
	struct core *c = this_core();
	struct ring *r = op->ring;

	op->life = OP_DONE;
	if (!r) {
		void (*then)(struct op *) = (void (*)(struct op *))(uintptr_t)op->user_data;

		if (then)
			then(op);
		op_release(c, op);
		return;
	}
	if (r->core != c->index) {
		op->mail.deliver = op_return;
		mailbox_post(r->core, &op->mail);
		return;
	}
	ring_complete(c, r, op);
	ring_begin_ready(c);
	ring_publish(c, r);
}

/* ---- multishot ---------------------------------------------------------------------------------------- */

static void more_arrive(struct mail *m)
{
	struct op *held = container_of(m, struct op, mail);
	struct ring *r = held->ring;
	struct core *c = this_core();

	if (list_is_empty(&r->overflow) && cq_post(r, held->user_data, held->res, held->cqe_flags))
		op_release(c, held);
	else
		cq_note_overflow(c, r, held);
	ring_publish(c, r);
}

/* A second op from this core's pool carries the CQE: to the ring's core, or in the overflow list. */
static struct op *more_carrier(struct core *c, const struct op *op, int32_t res, uint32_t flags)
{
	struct op *held = op_alloc(c);

	if (!held)
		return NULL;
	held->ring = op->ring;
	held->user_data = op->user_data;
	held->res = res;
	held->cqe_flags = flags;
	held->life = OP_DONE;
	return held;
}

bool op_post_more(struct op *op, int32_t res, uint32_t cqe_flags)
{
	struct core *c = this_core();
	struct ring *r = op->ring;
	struct op *held;

	cqe_flags |= IORING_CQE_F_MORE;
	if (r->core == c->index) {
		if (list_is_empty(&r->overflow) && cq_post(r, op->user_data, res, cqe_flags)) {
			ring_publish(c, r);
			return true;
		}
		if (!r->more_credit)
			return false;
		held = more_carrier(c, op, res, cqe_flags);
		if (!held)
			return false;
		r->more_credit--;
		cq_note_overflow(c, r, held);
		return true;
	}
	held = more_carrier(c, op, res, cqe_flags);
	if (!held)
		return false;
	held->mail.deliver = more_arrive;
	mailbox_post(r->core, &held->mail);
	return true;
}

/* ---- submissions ----------------------------------------------------------------------------------------- */

bool ring_refill_hand(struct core *c)
{
	if (likely(c->hand))
		return true;
	c->hand = op_alloc(c);
	return c->hand;
}

struct list *ring_bucket(struct ring *r, uint64_t user_data)
{
	/* Programs use pointers or small counters: fold both. */
	return &r->inflight[(user_data ^ user_data >> 6 ^ user_data >> 12) % RING_HASH];
}

/* The hand did not finish at once: it leaves the core and is in flight from now on. */
static void hand_leave(struct core *c, struct ring *r, struct op *op)
{
	c->hand = NULL;
	list_push_back(ring_bucket(r, op->user_data), &op->inflight);
	r->inflight_count++;
}

/* The hand is done: posted from where it lies, and stays the hand unless it has to hold its CQE. */
static inline void hand_finish(struct core *c, struct ring *r, struct op *op)
{
	if (op->file) {
		file_put(op->file);
		op->file = NULL;
	}
	if (unlikely(!op_post(c, r, op))) {
		op->life = OP_DONE;
		c->hand = NULL;
	}
}

void ring_accept(struct core *c, struct ring *r, const struct io_uring_sqe *sqe)
{
	const struct op_row *row = op_table[sqe->opcode];
	struct op *op = c->hand;
	enum step v;

	if (unlikely(r->slow | (sqe->flags & ~QUICK_FLAGS))) {
		ring_accept_careful(c, r, sqe);
		return;
	}
	op->ring = r;
	op->row = row;
	op->user_data = sqe->user_data;
	op->res = sqe->fd;
	op->cqe_flags = 0;
	op->word = op_word(OP_STEPPING, sqe->opcode, sqe->flags, c->index, c->index);
	op->res = ring_check(op, row, sqe);
	if (unlikely(op->res)) {
		r->batch_failed = !(r->setup & IORING_SETUP_SUBMIT_ALL);
		hand_finish(c, r, op);
		return;
	}
	if (row->needs_file | row->place) {
		uint32_t place;

		op->res = sqe->fd;
		op->res = row->needs_file ? ring_resolve_file(r, op) : 0;
		if (unlikely(op->res)) {
			hand_finish(c, r, op);
			return;
		}
		place = ring_place(r, op);
		if (unlikely(place != c->index)) {
			hand_leave(c, r, op);
			op_send(op, place);
			return;
		}
	}
	v = row->step(op);
	if (likely(v == STEP_DONE)) {
		hand_finish(c, r, op);
		return;
	}
	hand_leave(c, r, op);
	op_continue(op, v);
}

/* Eight loads that the compiler may neither merge nor repeat: the program can change the entry while it is read. */
static inline void sqe_copy(struct io_uring_sqe *to, const struct io_uring_sqe *from)
{
	const volatile uint64_t *f = (const volatile uint64_t *)from;
	uint64_t *t = (uint64_t *)to;

	for (unsigned i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] = f[i];
}

unsigned ring_take(struct core *c, struct ring *r, unsigned max)
{
	uint32_t avail = atomic_load_explicit(&r->shared->sq_tail, memory_order_acquire) - r->sq_head;
	unsigned n = 0;
	struct io_uring_sqe sqe __attribute__((aligned(8)));

	if (unlikely(avail > r->sq_mask + 1))
		avail = r->sq_mask + 1; /* a tail that runs away is worth one ring full */
	r->batch_failed = 0;
	while (n < avail && (n < max || r->chain_head) && !r->batch_failed && ring_refill_hand(c)) {
		uint32_t slot = r->sq_head & r->sq_mask;

		n++;
		r->sq_head++;
		if (r->sq_array) {
			slot = *(volatile uint32_t *)&r->sq_array[slot];
			if (unlikely(slot > r->sq_mask)) {
				atomic_fetch_add_explicit(&r->shared->sq_dropped, 1, memory_order_relaxed);
				continue;
			}
		}
		sqe_copy(&sqe, &r->sqes[slot]);
		ring_accept(c, r, &sqe);
	}
	if (!n)
		return 0;
	if (unlikely(r->chain_head))
		ring_chain_end(c, r);
	ring_begin_ready(c);
	c->count->sqes += n;
	atomic_store_explicit(&r->shared->sq_head, r->sq_head, memory_order_release);
	ring_publish(c, r);
	if (unlikely(!list_is_empty(&r->waiters)))
		enter_wake(c, r); /* somebody may wait for room */
	return n;
}

/* ---- the core's part -------------------------------------------------------------------------------------- */

static inline bool ring_has_sqes(const struct ring *r)
{
	return atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed) != r->sq_head &&
	       !(r->slow & (RING_SLOW_DISABLED | RING_SLOW_DEAD));
}

static unsigned rings_run(struct core *c)
{
	struct ring_core *rc = c->rings;
	unsigned done = ring_begin_ready(c);

	list_for_each_safe(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		if (unlikely(!list_is_empty(&r->overflow))) {
			uint32_t tail = r->cq_tail;

			ring_flush_overflow(c, r);
			done += r->cq_tail - tail;
			ring_publish(c, r);
		}
		for (unsigned b = 0; b < BATCHES_PER_TURN && ring_has_sqes(r); b++) {
			unsigned n = ring_take(c, r, BATCH_MAX);

			if (!n)
				break; /* the op pool is empty: back-pressure */
			done += n;
		}
	}
	return done;
}

/* About to sleep: whoever publishes from now on sees NEED_WAKEUP and rings the doorbell. */
static bool rings_arm(struct core *c)
{
	struct ring_core *rc = c->rings;
	bool work = false;

	list_for_each(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		atomic_fetch_or_explicit(&r->shared->sq_flags, IORING_SQ_NEED_WAKEUP, memory_order_relaxed);
	}
	/* Our flags, then the tails; a program stores its tail, then loads the flags. */
	atomic_thread_fence(memory_order_seq_cst);
	list_for_each(pos, &rc->rings)
		work |= ring_has_sqes(list_item(pos, struct ring, link));
	/* With the pool empty only a completion can help, and that will wake us. */
	return (work && ops_free_count(c)) || executor_has_work(c);
}

static void rings_disarm(struct core *c)
{
	struct ring_core *rc = c->rings;

	list_for_each(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		atomic_fetch_and_explicit(&r->shared->sq_flags, ~IORING_SQ_NEED_WAKEUP, memory_order_relaxed);
	}
}

static const struct core_part_ops rings_part = {
	.name = "rings",
	.run = rings_run,
	.arm = rings_arm,
	.disarm = rings_disarm,
};

void ring_core_attach(struct core *c)
{
	op_done_hook = ring_op_done;
	core_part_set(c, PART_RINGS, &rings_part);
}
