/*
 * levels: see levels.h.
 */
#include "levels.h"

#include "crew.h"

#define LEVELS_STEAL_MAX 16u

static void queues_init(struct level_queues *q)
{
	for (unsigned i = 0; i < LEVELS; i++)
		q->tail[i] = &q->head[i];
}

void levels_init(struct async_levels *levels)
{
	queues_init(&levels->stay);
	queues_init(&levels->open);
}

static inline void queue_push(struct level_queues *q, unsigned level, struct async_co *co)
{
	co->next = NULL;
	*q->tail[level] = co;
	q->tail[level] = &co->next;
	q->count[level]++;
	__atomic_store_n(&q->there, q->there | 1u << level, __ATOMIC_RELAXED);
}

/* The first `n` of a level that has as many, or more: the last of them. */
static inline struct async_co *queue_cut(struct level_queues *q, unsigned level, uint32_t n)
{
	struct async_co *last = q->head[level];

	for (uint32_t i = 1; i < n; i++)
		last = last->next;
	q->head[level] = last->next;
	q->count[level] -= n;
	if (!last->next) {
		q->tail[level] = &q->head[level];
		__atomic_store_n(&q->there, q->there & ~(1u << level), __ATOMIC_RELAXED);
	}
	return last;
}

/* share.lock is held. */
static inline void open_count(struct async_exec *x, uint32_t n)
{
	__atomic_store_n(&x->share.count, x->share.count + n, __ATOMIC_RELAXED);
}

void level_push(struct async_exec *x, struct async_co *co)
{
	struct async_levels *l = x->levels;

	co->came = ++l->arrivals;
	if (!x->crew || co->pins) {
		queue_push(&l->stay, co->priority, co);
		x->queued++;
		return;
	}
	spin_lock(&x->share.lock);
	queue_push(&l->open, co->priority, co);
	open_count(x, 1);
	spin_unlock(&x->share.lock);
}

void levels_sort_some(struct async_exec *x)
{
	while (x->run_head) {
		struct async_co *co = x->run_head;

		x->run_head = co->next;
		level_push(x, co);
	}
	x->run_tail = &x->run_head;
}

/* The level whose turn it is: the most urgent, unless one below waited too often for it. */
static unsigned level_choose(struct async_levels *l, uint32_t there)
{
	unsigned first, chosen;

	l->spared = 0;
	if (ring_likely(there == 1u << SLUICE_PRIORITY_NORMAL))
		return SLUICE_PRIORITY_NORMAL; /* a count of zeros is a loop without Zbb */
	chosen = first = (unsigned)__builtin_ctz(there);
	for (unsigned i = first + 1; i < LEVELS; i++)
		if ((there >> i & 1) && ++l->passed[i] > ASYNC_AGE_MAX && chosen == first)
			chosen = i;
	l->passed[chosen] = 0;
	l->spared = chosen == first ? 0 : LEVELS_AGED;
	return chosen;
}

struct async_co *levels_pop(struct async_exec *x)
{
	struct async_levels *l = x->levels;
	struct level_queues *q = &l->stay;
	struct async_co *co = NULL;
	uint32_t there;
	unsigned level;

	if (x->crew)
		spin_lock(&x->share.lock);
	there = l->stay.there | l->open.there;
	if (ring_likely(there != 0)) {
		level = level_choose(l, there);
		if (!(q->there >> level & 1) || ((l->open.there >> level & 1) &&
						 l->open.head[level]->came < q->head[level]->came))
			q = &l->open;
		co = queue_cut(q, level, 1);
		if (q == &l->stay)
			x->queued--;
		else
			open_count(x, -1u);
		if (!((l->stay.there | l->open.there) >> level & 1))
			l->passed[level] = 0;
		l->picks++;
	}
	if (x->crew)
		spin_unlock(&x->share.lock);
	return co;
}

void levels_recall(struct async_exec *x)
{
	struct level_queues *q = &x->levels->open;

	spin_lock(&x->share.lock);
	while (q->there) {
		struct async_co *co = queue_cut(q, (unsigned)__builtin_ctz(q->there), 1);

		async_run_push(x, co);
	}
	open_count(x, -x->share.count);
	spin_unlock(&x->share.lock);
}

/* Fence and order as in crew_steal_from. */
uint32_t levels_steal_from(struct async_exec *x, struct async_exec *from)
{
	struct level_queues *q = &from->levels->open, *mine = &x->levels->open;
	struct async_co *co, *last;
	unsigned level;
	uint32_t n;

	if (__atomic_exchange_n(&from->share.lock, 1, __ATOMIC_ACQUIRE))
		return 0;
	if (!q->there) {
		spin_unlock(&from->share.lock);
		return 0;
	}
	level = (unsigned)__builtin_ctz(q->there);
	n = (q->count[level] + 1) / 2;
	if (n > LEVELS_STEAL_MAX)
		n = LEVELS_STEAL_MAX;
	co = q->head[level];
	last = queue_cut(q, level, n);
	last->next = NULL;
	for (struct async_co *one = co; one; one = one->next)
		__atomic_store_n(&one->exec, x, __ATOMIC_RELAXED);
	open_count(from, -n);
	spin_unlock(&from->share.lock);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	spin_lock(&x->share.lock);
	while (co) {
		struct async_co *next = co->next;

		co->came = ++x->levels->arrivals;
		queue_push(mine, level, co);
		co = next;
	}
	open_count(x, n);
	spin_unlock(&x->share.lock);
	x->stats.steals++;
	x->stats.stolen += n;
	return n;
}
