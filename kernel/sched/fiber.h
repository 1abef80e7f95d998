/*
 * fiber: a pooled kernel stack with a saved context: for deep, linear, cold work, and for steps
 * that compute long. A fiber runs on one core; owner core only.
 *
 * row->fiber may wait anywhere by fiber_park and goes on when somebody wakes its op. A long step
 * (op_goto_long) waits nowhere, but its core may be taken from it in its windows (preempt.h): its
 * stack is a fiber then, and goes on when the executor picks its op again. The core pointer is in
 * no saved context.
 */
#ifndef SCHED_FIBER_H
#define SCHED_FIBER_H

#include "sched/op.h"

#define FIBER_STACK_BYTES ARCH_FIBER_STACK_BYTES
#define FIBERS_PER_CORE 16u
/* A long step makes way at the latest after so long. */
#define STEP_BUDGET_NS 50000u
/* ... unless it was sent away so often in a row before its time was over: then it has all of it. */
#define STEP_HURRIED_MAX 32

/* Runs row->fiber(op) on a fiber; when none is free the op waits for one. Called by the executor
 * for STEP_DEGRADE. */
void fiber_start(struct op *op);

/* Continues the fiber of a runnable op (OP_ON_FIBER), or begins its long step (OP_LONG), on the
 * executor's stack if no other is free. True: that was a long step. Called by the executor. */
bool fiber_run(struct op *op);

/* From inside a fiber: returns after the fiber's op was woken. With `w` the op sits on that wait
 * list meanwhile. Spurious wakes are legal. Not from a step. */
void fiber_park(struct waitlist *w);

/* The op of the running fiber; NULL when not on a fiber. */
struct op *fiber_op(void);

void fibers_init(struct core *c);

#endif
