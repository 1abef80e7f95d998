/*
 * timer: per-core timers, a binary heap ordered by deadline. Owner core only. Arming never fails:
 * the node carries its heap links.
 */
#ifndef SCHED_TIMER_H
#define SCHED_TIMER_H

#include "cores/core.h"

struct timer {
	nsec_t deadline;
	/* on the owning core, in its turn; the timer is disarmed before the call */
	void (*fire)(struct timer *t);
	struct timer *left, *right, *parent; /* skew heap; parent == self: not armed */
};

void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* Arms (or re-arms) on this core. */
void timer_arm(struct timer *t, nsec_t deadline);
/* Disarms; harmless if not armed. Returns whether it was armed. */
bool timer_disarm(struct timer *t);
static inline bool timer_is_armed(const struct timer *t)
{
	return t->parent != t;
}

/* Creates a core's timers; sets PART_TIMERS. Boot. */
void timers_init(struct core *c);
/* Earliest deadline of this core, NSEC_NEVER if none. */
nsec_t timers_next(struct core *c);

#endif
