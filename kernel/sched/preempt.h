/*
 * preempt: windows, the places in a long step (op_goto_long) where its core may be taken from it.
 *
 * Interrupts are on in windows and nowhere else. What stands in one reads and writes memory that
 * its op holds by pins and references, its own stack, and nothing that other ops of the core may
 * change meanwhile: no lists, pools, frames, counters, no core pointer. Whatever owns such things
 * audits that no window is open (executor, wait lists, timers, pools, frames, mail, trace). On a
 * machine that cannot interrupt the kernel the step makes way at an opening only.
 *
 * What was true before a window may not be behind it: other ops of this core have run.
 */
#ifndef SCHED_PREEMPT_H
#define SCHED_PREEMPT_H

#include "base/meter.h"
#include "cores/core.h"

/* Does the running step have a stack of its own? Else windows stay closed. */
static inline bool preempt_may(void)
{
	return this_core()->preemptible;
}

/* The step makes way here if its time is over or somebody rang. Only when preempt_may. */
void preempt_point(void);

/* A stretch of the running step ends, or another begins. Only while meter_on. */
void preempt_measure(bool open);

/* Only when preempt_may; not nested. */
static inline void preempt_open(void)
{
	if (unlikely(meter_on))
		preempt_measure(true);
	if (!ARCH_PREEMPTS)
		preempt_point();
	arch_window_open();
}

static inline void preempt_close(void)
{
	arch_window_close();
	if (unlikely(meter_on))
		preempt_measure(false);
}

/* A window with nothing in it: for what must not be interrupted itself, between two pieces. */
static inline void preempt_here(void)
{
	preempt_open();
	preempt_close();
}

#endif
