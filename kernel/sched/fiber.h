/*
 * fiber: a pooled kernel stack with a saved context, for deep, linear, cold work. A fiber runs on
 * one core; it may wait anywhere by fiber_park and go on when somebody wakes its op. Owner core
 * only.
 */
#ifndef SCHED_FIBER_H
#define SCHED_FIBER_H

#include "sched/op.h"

#define FIBER_STACK_BYTES 16384u
#define FIBERS_PER_CORE 16u

/* Runs row->fiber(op) on a fiber; when none is free the op waits for one. Called by the executor
 * for STEP_DEGRADE. */
void fiber_start(struct op *op);

/* Continues the fiber of a woken op. Called by the executor. */
void fiber_resume(struct op *op);

/* From inside a fiber: returns after the fiber's op was woken. With `w` the op sits on that wait
 * list meanwhile. Spurious wakes are legal. */
void fiber_park(struct waitlist *w);

/* The op of the running fiber; NULL when not on a fiber. */
struct op *fiber_op(void);

void fibers_init(struct core *c);

#endif
