/*
 * ring: entries in, completions out; the path every system call takes. See ring.h for the life of
 * an entry.
 *
 * Runs on the ring's core only. Barriers: the SQ tail is loaded with acquire (pairs with the
 * program's release store in its publish), the SQ head and the CQ tail are stored with release
 * (pair with the program's acquire loads), the CQ head is loaded with acquire (pairs with the
 * program's release store after reading a CQE).
 */
#include "ring/internal.h"

#include "base/meter.h"
#include "base/trace.h"
#include "ring/notice.h"
#include "uapi/errno.h"
#include "uapi/syscall.h"

/* SQE flags that the quick path understands; everything else takes the careful one. */
#define QUICK_FLAGS (IOSQE_FIXED_FILE | IOSQE_ASYNC)

/* What it does not: nonzero for other flags, and for any ioprio. They lie in the entry's first
 * word, less the opcode. */
static inline uint64_t sqe_unusual(const struct io_uring_sqe *sqe)
{
	const int32_t *word = (const void *)sqe;

	_Static_assert(offsetof(struct io_uring_sqe, flags) == 1, "the second byte");
	_Static_assert(offsetof(struct io_uring_sqe, ioprio) == 2, "the upper half");
	return (uint64_t)(*word & (int32_t)~(0xffu | QUICK_FLAGS << 8));
}

/* ---- completions ----------------------------------------------------------------------------- */

void cq_note_overflow(struct core *c, struct ring *r, struct op *op)
{
	c->count->cq_overflows++;
	list_push_back(&r->overflow, &op->link);
	r->watchers++;
	r->cq_stop = r->cq_at;
	atomic_fetch_or_explicit(&r->shared->sq_flags, IORING_SQ_CQ_OVERFLOW, memory_order_relaxed);
}

bool cq_find_room(struct ring *r)
{
	struct io_uring_cqe *end = r->cqes + r->cq_mask + 1;
	uint32_t tail = ring_cq_tail(r), used, room;

	if (r->cq_at == end) {
		r->cq_lap = tail;
		r->cq_at = r->cqes;
	}
	/* model: ring-room */
	used = tail - atomic_load_explicit(&r->shared->cq_head, memory_order_acquire);
	if (used > r->cq_mask) {
		r->cq_stop = r->cq_at;
		return false;
	}
	room = r->cq_mask + 1 - used;
	r->cq_stop = room < (uint32_t)(end - r->cq_at) ? r->cq_at + room : end;
	return true;
}

static inline void op_result64(const struct ring *r, struct op *op)
{
	if (r->result64)
		op->cqe_flags = (uint32_t)op->extra;
	else if ((int64_t)((op->extra << 32) | (uint32_t)op->res) != (int64_t)op->res)
		op->res = -EOVERFLOW;
}

/* Posts the op's CQE or holds it back in order. Returns false if the op now holds its CQE and must
 * be kept. */
static __attribute__((noinline)) bool op_post(struct core *c, struct ring *r, struct op *op)
{
	trace_hot(TRACE_COMPLETE, (uint32_t)op->res, r->id, op->user_data);
	if (unlikely(op->opcode == IORING_OP_SYSCALL)) {
		if (!(op->flags & OP_RESULT64))
			op->extra = (uint64_t)(int64_t)op->res >> 32;
		if (r->kind == RING_SLOT) {
			door_deliver(r, (int64_t)((op->extra << 32) | (uint32_t)op->res));
			return true;
		}
		op_result64(r, op);
	}
	if (unlikely(op->flags & OP_SILENT))
		return true;
	if (unlikely((op->sqe_flags & IOSQE_CQE_SKIP_SUCCESS) && !ring_op_failed(op)))
		return true;
	if (likely(cq_post(r, op->user_data, op->res, op->cqe_flags)))
		return true;
	cq_note_overflow(c, r, op);
	return false;
}

void ring_tell(struct core *c, struct ring *r)
{
	if (r->watchers & RING_NOTICE)
		notice_completions(c, r);
	timeouts_count(c, r);
	enter_wake(c, r);
	file_poll_wake(&r->file);
}

static void op_go_home(struct mail *m)
{
	op_free(this_core(), container_of(m, struct op, mail));
}

void op_release(struct core *c, struct op *op)
{
	struct ring *r = op->ring;

	if (op->home == c->index) {
		if (r)
			r->ops_held--;
		op_free(c, op);
		return;
	}
	if (r)
		r->held_away[op->home]--; /* taken before the ring moved */
	op->mail.deliver = op_go_home;
	mailbox_post(op->home, &op->mail);
}

void ring_flush_overflow(struct core *c, struct ring *r)
{
	while (!list_is_empty(&r->overflow)) {
		struct op *op = list_item(r->overflow.next, struct op, link);

		if (r->cq_at == r->cq_stop && !cq_find_room(r))
			return;
		cq_write(r, op->user_data, op->res, op->cqe_flags);
		list_remove(&op->link);
		r->watchers--;
		if (op->cqe_flags & IORING_CQE_F_MORE)
			more_credit_give(r);
		op_release(c, op);
	}
	if (r->shared)
		atomic_fetch_and_explicit(&r->shared->sq_flags, ~IORING_SQ_CQ_OVERFLOW,
					  memory_order_relaxed);
}

void ring_complete(struct core *c, struct ring *r, struct op *op)
{
	bool posted;

	if (unlikely(op_cancel_is_out(op))) {
		/* it is here: cancel_back looks at this, since `life` is written elsewhere */
		op->mail.deliver = NULL;
		return; /* a cancellation is on its way to it: completed again when that is back */
	}
	if (op->file) {
		file_put(op->file);
		op->file = NULL;
	}
	if (list_is_linked(&op->inflight)) {
		list_remove(&op->inflight);
		r->inflight_count--;
	}
	posted = op_post(c, r, op);
	if (unlikely(op->chain))
		/* behind its own CQE: the rest of a broken chain answers after what broke it */
		ring_chain_advance(c, r, op);
	if (posted)
		op_release(c, op);
	if (unlikely(r->slow & (RING_SLOW_DRAIN | RING_SLOW_DEAD))) {
		ring_drain_advance(c, r);
		if (r->slow & RING_SLOW_DEAD)
			ring_reap(c, r);
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

	if (ring_is_elsewhere(c, r, m))
		return;
	ring_complete(c, r, op);
	ring_begin_ready(c);
	ring_publish(c, r);
}

/* The executor's hook: an op is done, on the core where it ran. */
void ring_op_done(struct op *op)
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
	if (!ring_is_here(c, r)) {
		op->mail.deliver = op_return;
		trace_hot(TRACE_MAIL, ring_post_core(r), (uintptr_t)op, op->user_data);
		mailbox_post(ring_post_core(r), &op->mail);
		return;
	}
	ring_complete(c, r, op);
	ring_begin_ready(c);
	ring_publish(c, r);
}

/* ---- submissions ----------------------------------------------------------------------------- */

/*
 * A ring may hold as many ops as are still free: a single greedy ring gets half of the pool, two a
 * third each, and there is always something left for the next one. The last ops are the doors': a
 * program that holds its share must still be able to leave.
 */
bool ring_may_take(const struct core *c, const struct ring *r)
{
	uint32_t free = ops_free_count((struct core *)c);

	return free > c->rings->door_ops && r->ops_held <= free;
}

struct op *ring_refill_hand(struct core *c, const struct ring *r)
{
	if (likely(c->hand && !r->ops_held))
		return c->hand;
	if (unlikely(!ring_may_take(c, r)))
		return NULL;
	if (!c->hand)
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
	r->ops_held++;
	list_push_back(ring_bucket(r, op->user_data), &op->inflight);
	r->inflight_count++;
}

/*
 * The hand is done: posted from where it lies, and stays the hand unless it has to hold its CQE. A
 * hand has no file and its cqe_flags are 0: whoever changes that puts it right here.
 */
static void hand_finish(struct core *c, struct ring *r, struct op *op)
{
	if (op->file) {
		file_put(op->file);
		op->file = NULL;
	}
	if (likely(op_post(c, r, op))) {
		op->cqe_flags = 0;
		return;
	}
	op->life = OP_DONE;
	c->hand = NULL;
	r->ops_held++;
}

/*
 * The hand has passed its checks and names a file or a place: finds both. Returns true if it is to
 * be stepped here; else it has been sent away, or has failed.
 */
static bool hand_place(struct core *c, struct ring *r, struct op *op, int32_t fd)
{
	uint32_t place;

	op->res = fd;
	op->res = op->row->needs_file ? ring_resolve_file(r, op) : 0;
	if (unlikely(op->res)) {
		hand_finish(c, r, op);
		return false;
	}
	place = ring_place(r, op);
	if (likely(place == c->index))
		return true;
	hand_leave(c, r, op);
	ring_visits(r, place);
	op_send(op, place);
	return false;
}

void ring_hand_went(struct core *c, struct ring *r, struct op *op, enum step v)
{
	if (v == STEP_DONE) {
		hand_finish(c, r, op);
		return;
	}
	hand_leave(c, r, op);
	op_continue(op, v);
}

/* Refused by a check: its error, and the end of the batch unless SUBMIT_ALL says otherwise. */
static void hand_refuse(struct core *c, struct ring *r, struct op *op, int err)
{
	op->res = err;
	r->batch_failed = !(r->setup & IORING_SETUP_SUBMIT_ALL);
	hand_finish(c, r, op);
}

/* What the hand does not know yet of the entry it carries; an entry without special needs may end
 * without it. */
static inline void hand_fill(struct op *op, const struct op_row *row,
			     const struct io_uring_sqe *sqe)
{
	op->row = row;
	op->user_data = sqe->user_data;
}

/* The middle of the quick path for entries with special needs. Returns the row whose step comes
 * next; NULL if that is not here and now. */
static const struct op_row *hand_special(struct core *c, struct ring *r, struct op *op,
					 const struct op_row *row, const struct io_uring_sqe *sqe)
{
	struct io_uring_sqe other;
	int err = 0;

	op->user_data = sqe->user_data;
	if (row->raw ? sqe->flags & IOSQE_FIXED_FILE : sqe->personality)
		err = -EINVAL;
	else if (row->raw)
		row = sys_translate(row, &sqe, &other, &err);
	op->row = row;
	if (likely(!err))
		err = row->check(op, sqe);
	if (unlikely(err)) {
		hand_refuse(c, r, op, err);
		return NULL;
	}
	if (!(row->needs_file | row->place) || hand_place(c, r, op, sqe->fd))
		return row;
	return NULL;
}

/* The hand's first step, which the executor does not see. */
static void hand_trace(const struct op *op, enum step v, uint64_t user_data)
{
	trace_event(TRACE_STEP, op->opcode | (uint32_t)op->state << 8 | (uint32_t)v << 16,
		    (uintptr_t)op, user_data);
	if (v == STEP_AGAIN)
		op_measure(op);
}

/*
 * The quick path: an entry that asks for nothing unusual. Returns true if the hand is still the
 * hand and the batch goes on. The checks are those of ring_check, less those for flags that do not
 * come this way. op->ring is set already.
 */
static inline __attribute__((always_inline)) bool hand_accept(struct core *c, struct ring *r,
							      struct op *op,
							      const struct io_uring_sqe *sqe,
							      bool traced)
{
	const struct op_row *row = r->table[sqe->opcode];
	uint64_t special; /* 64 bits wide like the registers: no sign extension before a compare */
	enum step v;
	int err;

	op->word = r->op_word;
	op->opcode = sqe->opcode;
	op->sqe_flags = sqe->flags;
	if (traced)
		trace_event(TRACE_TAKE, sqe->opcode | r->id << 8, (uintptr_t)op, sqe->user_data);
	if (unlikely(!row)) {
		op->user_data = sqe->user_data;
		hand_refuse(c, r, op, -EINVAL);
		return false;
	}
	special = row->special | (uint64_t)sqe->personality;
	if (unlikely(special)) {
		if (!traced && row->quick && row->quick(c, r, sqe, &op->res)) {
			if (likely(cq_post(r, sqe->user_data, op->res, 0)))
				return true;
			op->user_data = sqe->user_data;
			hand_finish(c, r, op);
			return false;
		}
		row = hand_special(c, r, op, row, sqe);
		if (!row)
			return false;
	} else {
		err = row->check(op, sqe);
		if (unlikely(err)) {
			op->user_data = sqe->user_data;
			hand_refuse(c, r, op, err);
			return false;
		}
	}
	if (traced) {
		op->row = row;
		hand_trace(op, STEP_AGAIN, sqe->user_data);
	}
	v = row->step(op);
	if (likely(v == STEP_DONE)) {
		if (!special && !traced &&
		    likely(cq_post(r, sqe->user_data, op->res, op->cqe_flags)))
			return true;
		if (traced)
			hand_trace(op, v, sqe->user_data);
		op->user_data = sqe->user_data;
		hand_finish(c, r, op);
		if (traced && meter_on)
			meter_end();
		return false;
	}
	hand_fill(op, row, sqe);
	hand_leave(c, r, op);
	op_continue(op, v);
	return false;
}

/* Anything but the quick path. */
static __attribute__((noinline)) void accept_otherwise(struct core *c, struct ring *r,
						       struct io_uring_sqe *sqe)
{
	bool asks = ioprio_asks(op_table[sqe->opcode], sqe->ioprio);

	if ((r->slow & ~RING_SLOW_TRACE) | (sqe->flags & ~QUICK_FLAGS) || asks) {
		ring_accept_careful(c, r, sqe);
		if (asks && !r->chain_head)
			ring_begin_ready(c); /* now: who is cancelled next is in flight by then */
		return;
	}
	c->hand->ring = r;
	(void)hand_accept(c, r, c->hand, sqe, r->slow);
}

void ring_accept(struct core *c, struct ring *r, struct io_uring_sqe *sqe)
{
	accept_otherwise(c, r, sqe);
}

/* Eight loads that the compiler may neither merge nor repeat: the program can change the entry
 * while it is read. */
static inline void sqe_copy(struct io_uring_sqe *to, const struct io_uring_sqe *from)
{
	const volatile uint64_t *f = (const volatile uint64_t *)from;
	uint64_t w0 = f[0], w1 = f[1], w2 = f[2], w3 = f[3], w4 = f[4], w5 = f[5], w6 = f[6],
		 w7 = f[7];
	uint64_t *t = (uint64_t *)to;

#ifdef __clang_analyzer__ /* does not see that eight words are the whole of it */
	*to = (struct io_uring_sqe){ 0 };
#endif
	t[0] = w0;
	t[1] = w1;
	t[2] = w2;
	t[3] = w3;
	t[4] = w4;
	t[5] = w5;
	t[6] = w6;
	t[7] = w7;
}

/* The entry that the program's index array names for `head`; NULL, and counted as dropped, for an
 * index that is none. */
static struct io_uring_sqe *sq_array_entry(struct ring *r, uint32_t head)
{
	uint32_t slot = *(volatile uint32_t *)&r->sq_array[head & r->sq_mask];

	if (slot <= r->sq_mask)
		return &r->sqes[slot];
	atomic_fetch_add_explicit(&r->shared->sq_dropped, 1, memory_order_relaxed);
	return NULL;
}

/* An entry left the quick path: does the batch go on, how far, and with which hand? NULL: it is
 * over. */
static struct op *take_again(struct core *c, struct ring *r, uint64_t avail, uint64_t *want,
			     uint64_t *left)
{
	struct op *hand;

	if (r->batch_failed) {
		r->batch_failed = 0;
		return NULL;
	}
	if (r->chain_head && *left == 1) {
		*left += avail - *want; /* a chain is not cut where our batch ends */
		*want = avail;
	}
	hand = ring_refill_hand(c, r);
	if (hand)
		hand->ring = r;
	return hand;
}

/* What a batch of `taken` entries needs behind the last one when not all of it was quick. */
static void take_ends(struct core *c, struct ring *r, uint64_t taken)
{
	trace_hot(TRACE_COUNT, COUNT_RING, r->id,
		  taken | (uint64_t)(atomic_load_explicit(&r->shared->sq_tail,
							  memory_order_relaxed) -
				     r->sq_head)
				  << 32);
	if (r->chain_head)
		ring_chain_end(c, r);
	ring_begin_ready(c);
}

/* Takes and publishes; telling who watches the tail is left to the caller. */
static inline __attribute__((always_inline)) uint64_t take(struct core *c, struct ring *r,
							   uint64_t max, unsigned enters)
{
	uint64_t avail =
		/* model: ring-take-tail */
		(uint32_t)(atomic_load_explicit(&r->shared->sq_tail, memory_order_acquire) -
			   r->sq_head);
	struct io_uring_sqe *at = r->sqes + (r->sq_head & r->sq_mask);
	struct io_uring_sqe *const ring_end = r->sqes_end;
	const bool array = r->sq_array;
	struct io_uring_sqe sqe __attribute__((aligned(8)));
	struct op *hand = c->hand;
	uint64_t want, left;
	struct counters *count;
	bool quick = true;
	uint32_t tail;

	if (unlikely(avail > r->sq_mask))
		avail = r->sq_mask + 1; /* a tail that runs away is worth one ring full */
	want = left = min_of(avail, max);
	if (unlikely(!hand || r->ops_held))
		hand = ring_refill_hand(c, r);
	if (!left || unlikely(!hand))
		return 0;
	hand->ring = r;
	for (; left; left--) {
		if (unlikely(array) &&
		    !(at = sq_array_entry(r, r->sq_head + (uint32_t)(want - left))))
			continue;
		sqe_copy(&sqe, at);
		if (unlikely(++at == ring_end))
			at = r->sqes;
		if (unlikely((uint64_t)r->slow | sqe_unusual(&sqe)))
			accept_otherwise(c, r, &sqe);
		else if (likely(hand_accept(c, r, hand, &sqe, false)))
			continue;
		quick = false;
		hand = take_again(c, r, avail, &want, &left);
		if (!hand) {
			left--;
			break;
		}
	}
	want -= left;
	r->sq_head += (uint32_t)want;
	if (unlikely(!quick))
		take_ends(c, r, want);
	/* model: ring-publish-head */
	atomic_store_explicit(&r->shared->sq_head, r->sq_head, memory_order_release);
	tail = ring_cq_tail(r);
	count = c->count;
	count->enters += enters;
	count->sqes += want;
	count->cqes += tail - r->cq_published;
	r->cq_published = tail;
	/* model: ring-publish-cq-tail */
	atomic_store_explicit(&r->shared->cq_tail, tail, memory_order_release);
	return want;
}

unsigned ring_take(struct core *c, struct ring *r, unsigned max)
{
	uint64_t taken = take(c, r, max, 0);

	if (unlikely(r->watchers))
		ring_tell(c, r);
	return (unsigned)taken;
}

/* The quick half of enter.c, here because it is worth having take() inside. */
static noinline_fn bool enter_quick(struct arch_user *u, uint64_t to_submit, uint64_t min_complete,
				    uint64_t flags)
{
	struct user_thread *t = container_of(u, struct user_thread, thread.user);
	struct door *d = container_of(t->slot, struct door, slot);
	struct ring *r = d->quick_ring;
	struct core *c = this_core();
	uint64_t n;

	if (flags != IORING_ENTER_GETEVENTS || arch_user_arg(u, 0) != d->quick_fd ||
	    atomic_load_explicit(d->quick_slot, memory_order_relaxed) != &r->file || r->slow)
		return false;
	/* as wide as the register: more than there is is never taken */
	n = take(c, r, to_submit, 1);
	if (likely(r->cq_published -
			   atomic_load_explicit(&r->shared->cq_head, memory_order_acquire) >=
		   min_complete) &&
	    /* thread_may_go_on, and nobody else looks at the tail */
	    likely(!(c->attention | r->watchers))) {
		arch_user_set_result(u, (int64_t)n);
		return true;
	}
	if (r->watchers)
		ring_tell(c, r);
	c->count->enters--; /* the slow door counts it */
	d->wait.begun = 1;
	d->wait.result = (int64_t)n;
	return false;
}

bool ring_door_quick(struct arch_user *u, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5, uint64_t a6, uint64_t nr)
{
	if (likely(nr == SYS_io_uring_enter))
		return enter_quick(u, a1, a2, a3);
	return ring_call_quick(u, a1, a2, a3, a4, a5, a6, nr);
}
