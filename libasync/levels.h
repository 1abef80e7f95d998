/*
 * levels: an executor's runnable coroutines by priority, in programs that asked for preemption:
 * eight levels, first come first served within each. A level that was passed over ASYNC_AGE_MAX
 * times is served once.
 *
 * With several executors each level has two queues: coroutines that stay where they are, and, under
 * the lock of the executor's share, those that others may take. Both count as one: who came first
 * goes first. A thief takes of the most urgent level.
 */
#ifndef LIBASYNC_LEVELS_H
#define LIBASYNC_LEVELS_H

#include "async_core.h"

#define LEVELS SLUICE_PRIORITIES
#define LEVELS_AGED UINT64_MAX /* spared: it was passed over, and begins now */

struct level_queues {
	struct async_co *head[LEVELS], **tail[LEVELS];
	uint32_t count[LEVELS];
	uint32_t there; /* bit per level that has somebody */
};

struct async_levels {
	/* its executor only */
	struct level_queues stay;
	uint32_t passed[LEVELS]; /* how often another one went first */
	uint64_t picks, arrivals;
	uint64_t spared; /* until then (ticks) the one that was picked makes way for nobody */

	/* preempt.c, its executor only; ticks */
	uint64_t quantum, look;
	/* of the last tick */
	uint64_t seen; /* picks */
	uint64_t began; /* when the one that computes now got its quantum */
	bool ticked;
	bool noticing; /* the interrupt is at work: whoever becomes runnable is seen to there */

	/* under the executor's share.lock; share.count is how many are here */
	struct level_queues open;
};

void levels_init(struct async_levels *levels);

/* All on the executor's own thread. `co` is READY and in no queue. */
void level_push(struct async_exec *x, struct async_co *co);
/* All of the run queue, in order of arrival. */
void levels_sort_some(struct async_exec *x);
static inline void levels_sort(struct async_exec *x)
{
	if (x->run_head)
		levels_sort_some(x);
}
/* Whose turn it is, off its queue; NULL: nobody is there. */
struct async_co *levels_pop(struct async_exec *x);
/* The levels that have somebody, a bit each; a hint about those that others may take. */
static inline uint32_t levels_there(const struct async_exec *x)
{
	return x->levels->stay.there | __atomic_load_n(&x->levels->open.there, __ATOMIC_RELAXED);
}
/* Those that others may take into the run queue. */
void levels_recall(struct async_exec *x);
/* As crew_steal_from, between two that have levels. x's thread. */
uint32_t levels_steal_from(struct async_exec *x, struct async_exec *from);

#endif
