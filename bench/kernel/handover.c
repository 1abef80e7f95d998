/*
 * handover: what does it cost to hand on bare, from one operation to the next? A kernel that does
 * nothing else: linked with everything of the real one but kernel/main.c.
 *
 * Two operations wake each other by turns, through the executor as always:
 *
 *	step	each is one step, which wakes the other and parks
 *	fiber	each is a fiber, which wakes the other and parks
 *
 * One line `bench: how=... hops=... ns=...` for each round, and marks for the counting plugin
 * around each. Boot core; the others are not started.
 */
#include "arch/arch.h"
#include "base/cmdline.h"
#include "base/print.h"
#include "base/trace.h"
#include "cores/core.h"
#include "mm/frames.h"
#include "sched/fiber.h"
#include "sched/op.h"
#include "sched/timer.h"

#define OPS 64u
#define ROUNDS 5u
#define HOPS 200000u
#define MARK_BEGIN 0x30 /* bench/plugin/count.c */
#define MARK_END 0x31

static struct op *pair[2];
static uint64_t left; /* hops */

static struct op *other(const struct op *op)
{
	return pair[op == pair[0]];
}

static enum step hand_step(struct op *op)
{
	if (!op->state) { /* there, and waits for its turn */
		op->state = 1;
		return op_park_alone(op);
	}
	if (!left)
		return op_finish(op, 0);
	left--;
	op_wake(other(op));
	return op_park_alone(op);
}

static enum step degrade_step(struct op *op)
{
	(void)op;
	return STEP_DEGRADE;
}

static void hand_fiber(struct op *op)
{
	fiber_park(NULL);
	while (left) {
		left--;
		op_wake(other(op));
		fiber_park(NULL);
	}
	op->res = 0;
}

static const struct op_row rows[] = {
	{ .name = "step", .step = hand_step },
	{ .name = "fiber", .step = degrade_step, .fiber = hand_fiber },
};

static void done(struct op *op)
{
	pair[op == pair[1]] = NULL;
	op_free(this_core(), op);
}

static void run_until_parked(struct core *c)
{
	while (executor_has_work(c))
		c->part[PART_OPS]->run(c);
}

static void round_run(struct core *c, const struct op_row *row)
{
	nsec_t from;

	for (unsigned i = 0; i < 2; i++) {
		pair[i] = op_alloc(c);
		pair[i]->row = row;
		op_run(pair[i]);
	}
	left = HOPS;
	op_wake(pair[0]);
	from = arch_time_ns();
	ARCH_MARK(MARK_BEGIN);
	run_until_parked(c);
	ARCH_MARK(MARK_END);
	kprint("bench: how=%s hops=%u ns=%llu\n", row->name, HOPS,
	       (unsigned long long)(arch_time_ns() - from));
	op_wake(pair[0] ? pair[0] : pair[1]); /* the other had the last hop, and ended */
	run_until_parked(c);
}

noreturn_fn void kernel_main(void)
{
	struct core *c;

	if (cmdline_init(arch_boot.cmdline))
		arch_poweroff(1);
	frames_init();
	if (cores_init())
		arch_poweroff(1);
	c = this_core();
	trace_init_core(c->index, frames_boot_alloc(trace_ring_size(TRACE_SLOTS)), TRACE_SLOTS);
	timers_init(c);
	executor_init(c, OPS);
	fibers_init(c);
	op_done_hook = done;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (unsigned round = 0; round < ROUNDS; round++) {
			round_run(c, &rows[i]);
			if (ops_free_count(c) != OPS)
				arch_poweroff(1);
		}
	arch_poweroff(0);
}
