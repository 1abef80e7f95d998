/*
 * timer: sleeps and deadlines, kept by the program itself: a timer costs no submission entry. The
 * executor looks at the first one each time it visits its slow path, and parks no longer than
 * until it is due.
 *
 * A pairing heap, since it needs no memory of its own: each timer has a list of children that are
 * due no earlier. parent_or_prev is the parent for a first child and the left sibling otherwise.
 */
#include "crew.h"

/* ---- the clock ---- */

static uint64_t timer_ticks(void)
{
	struct __kernel_timespec ts = { 0 };

	if (ring_likely(ring_start_info->time_hz != 0))
		return async_ticks_read();
	if (async_door(ring_start_info->enter_fn, SYS_clock_gettime, CLOCK_MONOTONIC,
		       (uint64_t)(uintptr_t)&ts, 0, 0, 0, 0))
		ring_die(&async_here()->ring, "async: no clock\n");
	return (uint64_t)ts.tv_sec * ASYNC_S + (uint64_t)ts.tv_nsec;
}

/* x * mul / div without overflow for any result that fits. */
static uint64_t timer_scale(uint64_t x, uint64_t mul, uint64_t div)
{
	uint64_t whole = x / div;

	if (whole > UINT64_MAX / 4 / mul)
		return UINT64_MAX / 4;
	return whole * mul + x % div * mul / div;
}

uint64_t async_ns_to_ticks(uint64_t ns)
{
	return timer_scale(ns, async_here()->tick_hz, ASYNC_S);
}

uint64_t async_now_ns(void)
{
	return timer_scale(timer_ticks(), ASYNC_S, async_here()->tick_hz);
}

/* ---- the heap ---- */

static struct async_timer *heap_meld(struct async_timer *a, struct async_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if ((int64_t)(b->ticks - a->ticks) < 0) {
		struct async_timer *t = a;

		a = b;
		b = t;
	}
	b->sibling = a->child;
	if (b->sibling)
		b->sibling->parent_or_prev = b;
	b->parent_or_prev = a;
	a->child = b;
	return a;
}

/* Melds a list of siblings pairwise, then the pairs from the last to the first. */
static struct async_timer *heap_meld_list(struct async_timer *list)
{
	struct async_timer *pairs = NULL, *heap = NULL;

	while (list) {
		struct async_timer *a = list, *b = list->sibling;

		list = b ? b->sibling : NULL;
		a->sibling = NULL;
		if (b)
			b->sibling = NULL;
		a = heap_meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	while (pairs) {
		struct async_timer *next = pairs->sibling;

		pairs->sibling = NULL;
		heap = heap_meld(heap, pairs);
		pairs = next;
	}
	if (heap)
		heap->parent_or_prev = NULL;
	return heap;
}

void async_timer_set(struct async_timer *timer, uint64_t ns)
{
	timer->ticks = timer_ticks() + async_ns_to_ticks(ns);
	timer->child = NULL;
	timer->sibling = NULL;
	timer->parent_or_prev = NULL;
	timer->armed = true;
	async_here()->timers = heap_meld(async_here()->timers, timer);
}

void async_timer_clear(struct async_timer *timer)
{
	struct async_timer *prev = timer->parent_or_prev;
	struct async_timer *children;

	if (!timer->armed)
		return;
	timer->armed = false;
	if (prev) {
		if (prev->child == timer)
			prev->child = timer->sibling;
		else
			prev->sibling = timer->sibling;
		if (timer->sibling)
			timer->sibling->parent_or_prev = prev;
	}
	children = heap_meld_list(timer->child);
	async_here()->timers = prev ? heap_meld(async_here()->timers, children) : children;
}

uint64_t async_timer_wait_ns(void)
{
	const struct async_timer *first = async_here()->timers;
	int64_t left;

	if (!first)
		return UINT64_MAX;
	left = (int64_t)(first->ticks - timer_ticks());
	if (left <= 0)
		return 0;
	return timer_scale((uint64_t)left, ASYNC_S, async_here()->tick_hz) + 1;
}

void async_timer_turn(void)
{
	uint64_t now = timer_ticks();

	while (async_here()->timers && (int64_t)(async_here()->timers->ticks - now) <= 0) {
		struct async_timer *timer = async_here()->timers;

		async_timer_clear(timer);
		if (timer->scope) {
			timer->scope->fired = true;
			async_stop_update(timer->co);
		} else {
			timer->co->pins--;
			if (timer->co->state == ASYNC_IN_QUEUE)
				async_ready(timer->co);
		}
	}
}

int async_sleep(uint64_t ns)
{
	struct async_timer timer = { .co = async_self() };
	int stop = async_stopped();

	if (stop)
		return stop;
	crew_pin(); /* the timer lets go */
	async_timer_set(&timer, ns);
	while (timer.armed && !async_stopped())
		waitq_suspend();
	if (!timer.armed)
		return 0;
	async_timer_clear(&timer);
	crew_unpin();
	return async_stopped();
}
