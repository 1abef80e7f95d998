/*
 * turn: the rings' part of their core's turn: some rounds with a batch from each, what a full CQ
 * held back, and the announcement before sleep.
 *
 * Runs on the rings' core only. The path of one entry is in ring.c. An entry that is in a ring when
 * its turn is over has waited since that turn began: behind_since, of the ring and of the core.
 */
#include <stdio.h>

#include "cores/balance.h"
#include "fs/fs.h"
#include "ring/internal.h"
#include "sched/inbox.h"

#define BATCH_MAX 32 /* entries between two publications */
#define ROUNDS_MAX 4
#define TURN_NS BALANCE_AGE_NS /* a turn that has taken so long begins no other round */

static inline bool ring_has_sqes(const struct ring *r)
{
	/* model: poll-look */
	return atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed) != r->sq_head &&
	       !(r->slow & (RING_SLOW_DISABLED | RING_SLOW_DEAD));
}

/* The turn leaves entries. Those that were left when behind_since was set may have been taken
 * since: then the oldest has waited since this turn, at least. */
static void ring_left_behind(struct core *c, struct ring *r)
{
	if (r->behind_since && (int32_t)(r->sq_head - r->behind_tail) < 0)
		return;
	r->behind_since = c->now;
	r->behind_tail = atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed);
	balance_behind(c);
}

static unsigned ring_let_overflow(struct core *c, struct ring *r)
{
	uint32_t tail = ring_cq_tail(r);

	ring_flush_overflow(c, r);
	tail = ring_cq_tail(r) - tail;
	ring_publish(c, r);
	return tail;
}

/* What a round over the rings has found. */
struct round {
	unsigned done;
	bool more; /* some ring has another batch */
	bool left; /* or entries at all: it may hold its share of the pool, back-pressure */
};

/* A batch of each. */
static void rings_round(struct core *c, struct round *found)
{
	found->more = found->left = false;
	list_for_each_safe(pos, &c->rings->rings) {
		struct ring *r = list_item(pos, struct ring, link);
		unsigned n = 0;

		if (unlikely(!list_is_empty(&r->overflow)))
			found->done += ring_let_overflow(c, r);
		if (ring_has_sqes(r)) {
			n = ring_take(c, r, BATCH_MAX);
			found->done += n;
		}
		if (unlikely(ring_has_sqes(r))) {
			found->left = true;
			found->more |= n != 0;
		} else if (unlikely(r->behind_since)) {
			r->behind_since = 0;
		}
	}
}

/* The turn leaves entries: since when has the oldest waited? */
static nsec_t rings_behind(struct core *c)
{
	nsec_t since = c->now;

	list_for_each(pos, &c->rings->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		if (!ring_has_sqes(r))
			continue;
		ring_left_behind(c, r);
		since = min_of(since, r->behind_since);
	}
	return since;
}

/* Round by round, so that a turn which is cut short has served all alike. */
static unsigned rings_run(struct core *c)
{
	struct round found = { .done = ring_begin_ready(c) };
	nsec_t behind_since = 0;

	if (unlikely(c->rings->unsorted))
		rings_sort(c);
	rings_round(c, &found);
	for (unsigned i = 1;
	     unlikely(found.more) && i < ROUNDS_MAX && arch_time_ns() - c->now < TURN_NS; i++)
		rings_round(c, &found);
	if (unlikely(found.left)) {
		behind_since = rings_behind(c);
		c->now = arch_time_ns(); /* so that its look at itself knows how long it was */
	}
	c->signals.behind_since = behind_since;
	return found.done;
}

/* About to sleep: whoever publishes from now on sees NEED_WAKEUP and rings the doorbell. */
static bool rings_arm(struct core *c)
{
	struct ring_core *rc = c->rings;
	bool work = false;

	list_for_each(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		/* model: poll-arm */
		atomic_fetch_or_explicit(&r->shared->sq_flags, IORING_SQ_NEED_WAKEUP,
					 memory_order_relaxed);
	}
	/* Our flags, then the tails; a program stores its tail, then loads the flags. */
	/* model: poll-arm-fence */
	atomic_thread_fence(memory_order_seq_cst);
	list_for_each(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		/* A ring that holds its share waits for a completion, and that will wake us. */
		work |= ring_has_sqes(r) && ring_may_take(c, r);
	}
	waker_arm(c, true);
	return work;
}

static void rings_disarm(struct core *c)
{
	struct ring_core *rc = c->rings;

	waker_arm(c, false);
	list_for_each(pos, &rc->rings) {
		struct ring *r = list_item(pos, struct ring, link);

		/* model: poll-disarm */
		atomic_fetch_and_explicit(&r->shared->sq_flags, ~IORING_SQ_NEED_WAKEUP,
					  memory_order_relaxed);
	}
}

/* What a ring says of itself, as one line; its own core may be changing it. */
static int ring_text(const struct ring *r, unsigned core, nsec_t now, char *buf, size_t size)
{
	nsec_t since = r->behind_since;

	return snprintf(buf, size, "%u %u %u %s %u %u %u %llu\n", r->id, core, r->proc->pid,
			r->proc->name,
			atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed) -
				r->sq_head,
			r->inflight_count, ring_ready(r),
			since && now > since ? (unsigned long long)(now - since) : 0);
}

/* The rings that cores poll, one line each, as far as `size` goes: /dev/rings. Any core; a ring
 * that moves meanwhile may be missing, or there twice. */
static size_t rings_text(char *buf, size_t size)
{
	nsec_t now = arch_time_ns();
	size_t len = 0;
	int n = snprintf(buf, size, "ring core pid name waiting in_flight unseen behind_ns\n");

	if (n > 0 && (size_t)n < size)
		len = (size_t)n;
	for (unsigned i = 0; i < CORES_MAX; i++) {
		struct ring_core *rc = cores[i] ? cores[i]->rings : NULL;

		if (!rc)
			continue;
		rings_lock(rc);
		list_for_each(pos, &rc->rings) {
			n = ring_text(list_item(pos, struct ring, link), i, now, buf + len,
				      size - len);
			if (n < 0 || (size_t)n >= size - len)
				break; /* no room for the whole line */
			len += (size_t)n;
		}
		rings_unlock(rc);
	}
	if (size)
		buf[len] = '\0';
	return len;
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
	fs_rings_text = rings_text;
	core_part_set(c, PART_RINGS, &rings_part);
}
