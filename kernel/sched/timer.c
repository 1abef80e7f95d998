/*
 * timer: a skew heap per core, linked through the timers themselves, so that arming never needs
 * memory. Merging is a loop, not a recursion; amortised cost is logarithmic. Owner core only.
 */
#include "sched/timer.h"

#include "base/meter.h"
#include "base/panic.h"
#include "mm/frames.h"

struct timers {
	struct timer *root; /* earliest; its parent is NULL */
};

static struct timer *timers_merge(struct timer *a, struct timer *b)
{
	struct timer *root = NULL, *parent = NULL, **link = &root;

	while (a && b) {
		struct timer *next;

		if (b->deadline < a->deadline) {
			next = a;
			a = b;
			b = next;
		}
		*link = a;
		a->parent = parent;
		parent = a;
		/* skew: the merged subtree becomes the left child, the old left one the right */
		next = a->right;
		a->right = a->left;
		link = &a->left;
		a = next;
	}
	if (!a)
		a = b;
	*link = a;
	if (a)
		a->parent = parent;
	return root;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
	t->fire = fire;
	t->parent = t;
}

static void timers_noted(struct core *c)
{
	audit(!arch_window_is_open());
	c->timer_next = c->timers->root ? c->timers->root->deadline : NSEC_NEVER;
	if (c->timer_next < c->user_deadline)
		c->calls |= CORE_CALL_TIMER;
}

bool timer_disarm(struct timer *t)
{
	struct timers *ts = this_core()->timers;
	struct timer *below;

	if (!timer_is_armed(t))
		return false;
	below = timers_merge(t->left, t->right);
	if (below)
		below->parent = t->parent;
	if (!t->parent)
		ts->root = below;
	else if (t->parent->left == t)
		t->parent->left = below;
	else
		t->parent->right = below;
	t->parent = t;
	timers_noted(this_core());
	return true;
}

void timer_arm(struct timer *t, nsec_t deadline)
{
	struct timers *ts = this_core()->timers;

	timer_disarm(t);
	t->deadline = deadline;
	t->left = t->right = NULL;
	t->parent = NULL;
	ts->root = timers_merge(ts->root, t);
	timers_noted(this_core());
}

nsec_t timers_next(struct core *c)
{
	return c->timer_next;
}

/* Fires what is due; at most TIMERS_BATCH, the rest in the next turn. */
#define TIMERS_BATCH 64

static noinline_fn void fire_measured(struct timer *t)
{
	meter_begin((struct meter_key){ METER_TIMER, (const void *)(uintptr_t)t->fire }, t);
	t->fire(t);
	meter_end();
}

static unsigned timers_run(struct core *c)
{
	struct timers *ts = c->timers;
	unsigned n = 0;

	while (n < TIMERS_BATCH && c->timer_next <= c->now && ts->root) {
		struct timer *t = ts->root;

		timer_disarm(t);
		if (unlikely(meter_on))
			fire_measured(t);
		else
			t->fire(t);
		n++;
	}
	return n;
}

static const struct core_part_ops timers_part = {
	.name = "timers",
	.run = timers_run,
	.deadline = timers_next,
};

void timers_init(struct core *c)
{
	c->timers = frames_boot_alloc(sizeof(*c->timers));
	c->timer_next = NSEC_NEVER;
	core_part_set(c, PART_TIMERS, &timers_part);
}
