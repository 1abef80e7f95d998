/*
 * fiber: stacks for the cold, the deep and the long. A fiber belongs to one op of one core;
 * switching is a function call that returns later.
 *
 *   fiber_start: stack free -> runs row->fiber(op) at once, on top of the executor's context
 *                none free  -> the op waits on the core's list for one
 *   fiber_park:  back to the executor; op_wake queues the op; fiber_run continues it
 *   fiber_run of a long step:
 *                stack free -> runs row->step(op) on it, with the core's timer set to its budget
 *                none free  -> runs it on the executor's stack, where nothing interrupts it
 *   interrupt in a window: the step degrades: its stack, with the interrupted context on it, is a
 *                fiber; back to the executor, op queued; fiber_run continues it
 *   function or step returned: back to the executor for the last time, stack back to the pool
 *
 * The executor's own stack is never taken away, so that what is below a step on it, a turn, a ring
 * half taken, a trap half served, is never part of a fiber.
 *
 * Who makes way for whom: a step of normal priority, or a more urgent one, for timers and for the
 * end of its budget; a less urgent one also for everything that would wake the core from sleep
 * (core_announce), and it does not begin when there is such work already. One that has been sent
 * away STEP_HURRIED_MAX times in a row has its whole budget. Sent away early, an op is the first of
 * its priority; at the end of its budget, the last.
 *
 * Each stack ends in a guard word that is checked at every switch back. Owner core only.
 */
#include "sched/fiber.h"

#include "base/meter.h"
#include "base/panic.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "sched/preempt.h"

#define FIBER_GUARD 0x5a1ce5a1ce5a1ceull

enum fiber_end { FIBER_FINISHED, FIBER_PARKED, FIBER_INTERRUPTED };

struct fiber {
	struct arch_fiber context;
	struct op *op;
	char *stack; /* lowest address; the first word is the guard */
	bool stepping; /* it runs row->step, else row->fiber */
	uint8_t end;   /* enum fiber_end: why it came back last */
	uint8_t hurried; /* times in a row that it made way before its time */
	enum step verdict; /* of what it ran; when finished */
	struct list link; /* free list */
};

struct fibers {
	struct arch_fiber executor; /* where the core's own context waits while a fiber runs */
	struct fiber *running;
	struct list free;
	struct waitlist wanted; /* ops that wait for a stack */
	struct fiber *fiber;

	/* while a long step runs */
	struct arch_preempt kept;
	nsec_t until; /* end of its budget */
	bool announced;
};

static struct fibers *fibers_of_core[CORES_MAX];

static struct fibers *fibers_here(void)
{
	return fibers_of_core[this_core()->index];
}

static void fiber_main(void *arg)
{
	struct fiber *f = arg;

	f->verdict = STEP_DONE;
	op_measure(f->op);
	if (f->stepping)
		f->verdict = f->op->row->step(f->op);
	else
		f->op->row->fiber(f->op);
	f->end = FIBER_FINISHED;
	arch_fiber_switch(&f->context, &fibers_here()->executor);
	panic("a finished fiber was resumed");
}

static struct fiber *fiber_of(const struct fibers *fs, const struct op *op)
{
	for (unsigned i = 0; i < FIBERS_PER_CORE; i++)
		if (fs->fiber[i].op == op)
			return &fs->fiber[i];
	panic("op %p has no fiber", (const void *)op);
}

static void fiber_trace(const struct op *op, enum step v)
{
	trace_hot(TRACE_STEP,
		  op->opcode | (uint32_t)op->state << 8 | (uint32_t)v << 16 | TRACE_ON_FIBER,
		  (uintptr_t)op, op->user_data);
}

/* ---- long steps ------------------------------------------------------------------------------ */

/* False: somebody comes first. */
static bool long_begin(struct core *c, struct fibers *fs, const struct fiber *f)
{
	nsec_t now = arch_time_ns();
	bool all_of_it = f->hurried >= STEP_HURRIED_MAX;

	fs->announced = !all_of_it && f->op->priority > OP_PRIORITY_NORMAL;
	if (!all_of_it && c->timer_next <= now)
		return false;
	if (fs->announced && core_announce(c, PART_OPS)) {
		core_return(c);
		return false;
	}
	fs->until = now + STEP_BUDGET_NS;
	arch_preempt_begin(&fs->kept, all_of_it ? fs->until : min_of(fs->until, c->timer_next),
			   fs->announced);
	c->preemptible = true;
	return true;
}

static void long_end(struct core *c, struct fibers *fs)
{
	c->preemptible = false;
	arch_preempt_end(&fs->kept);
	if (fs->announced)
		core_return(c);
}

/* On the step's stack, with interrupts off: the machine's hook. */
static void fiber_interrupted(void)
{
	struct fibers *fs = fibers_here();
	struct fiber *f = fs->running;

	f->end = FIBER_INTERRUPTED;
	arch_fiber_switch(&f->context, &fs->executor);
}

void preempt_measure(bool open)
{
	if (open)
		meter_end();
	else
		op_measure(fibers_here()->running->op);
}

void preempt_point(void)
{
	const struct core *c = this_core();

	known(c->preemptible && !arch_window_is_open());
	if (arch_preempt_due() || arch_time_ns() >= fibers_here()->until ||
	    (fibers_here()->announced && !mailbox_is_empty(c)))
		fiber_interrupted();
}

static void fiber_makes_way(struct fiber *f, bool in_time)
{
	if (in_time && f->hurried < STEP_HURRIED_MAX) {
		f->hurried++;
		op_run_soon(f->op);
	} else {
		f->hurried = 0;
		op_run_later(f->op);
	}
}

/* ---- to a fiber, and back -------------------------------------------------------------------- */

static void fiber_finished(struct fibers *fs, struct fiber *f)
{
	struct op *op = f->op;

	f->op = NULL;
	list_push_front(&fs->free, &f->link);
	op->flags &= (uint8_t)~OP_ON_FIBER;
	op->life = OP_STEPPING;
	waitlist_wake_one(&fs->wanted);
	op_continue(op, f->verdict); /* which traces it */
}

static void fiber_enter(struct fibers *fs, struct fiber *f)
{
	struct core *c = this_core();
	struct op *op = f->op;

	if (f->stepping && !long_begin(c, fs, f)) {
		fiber_makes_way(f, true);
		return;
	}
	fiber_trace(op, STEP_AGAIN);
	op->life = f->stepping ? OP_STEPPING : OP_FIBER;
	fs->running = f;
	arch_fiber_switch(&fs->executor, &f->context);
	fs->running = NULL;
	if (f->stepping)
		long_end(c, fs);
	kassert(*(uint64_t *)f->stack == FIBER_GUARD);
	switch ((enum fiber_end)f->end) {
	case FIBER_FINISHED:
		fiber_finished(fs, f);
		return;
	case FIBER_INTERRUPTED:
		fiber_trace(op, STEP_DEGRADE);
		audit(!list_is_linked(&op->link));
		c->count->degrades++;
		fiber_makes_way(f, arch_time_ns() < fs->until);
		return;
	case FIBER_PARKED:
		fiber_trace(op, STEP_PARKED);
		op->life = OP_PARKED;
		if (op->flags & OP_WAKE_PENDING) {
			op->flags &= (uint8_t)~OP_WAKE_PENDING;
			op_wake(op);
		}
	}
}

static struct fiber *fiber_take(struct fibers *fs, struct op *op, bool stepping)
{
	struct fiber *f;

	if (list_is_empty(&fs->free))
		return NULL;
	f = list_item(list_take_front(&fs->free), struct fiber, link);
	f->op = op;
	f->stepping = stepping;
	f->hurried = 0;
	op->flags |= OP_ON_FIBER;
	*(uint64_t *)f->stack = FIBER_GUARD;
	arch_fiber_init(&f->context, f->stack, FIBER_STACK_BYTES, fiber_main, f);
	return f;
}

bool fiber_run(struct op *op)
{
	struct fibers *fs = fibers_here();
	struct fiber *f;
	bool stepping;

	if (op->flags & OP_ON_FIBER) {
		f = fiber_of(fs, op);
		stepping = f->stepping;
		fiber_enter(fs, f);
		return stepping;
	}
	op->flags &= (uint8_t)~OP_LONG;
	f = fiber_take(fs, op, true);
	if (likely(f)) {
		fiber_enter(fs, f);
		return true;
	}
	this_core()->count->fibers_short++;
	op->life = OP_STEPPING;
	op_measure(op);
	op_continue(op, op->row->step(op));
	return true;
}

void fiber_start(struct op *op)
{
	struct fibers *fs = fibers_here();
	struct fiber *f = fiber_take(fs, op, false);

	if (!f) {
		op_park(op, &fs->wanted); /* its step runs again and degrades again */
		op->life = OP_PARKED;
		return;
	}
	this_core()->count->fibers++;
	fiber_enter(fs, f);
}

void fiber_park(struct waitlist *w)
{
	struct fibers *fs = fibers_here();
	struct fiber *f = fs->running;

	kassert(f && !f->stepping);
	if (f->op->flags & OP_WAKE_PENDING) {
		f->op->flags &= (uint8_t)~OP_WAKE_PENDING;
		return;
	}
	if (w)
		op_park(f->op, w);
	f->end = FIBER_PARKED;
	if (unlikely(meter_on))
		meter_end();
	arch_fiber_switch(&f->context, &fs->executor);
	op_measure(f->op);
}

struct op *fiber_op(void)
{
	struct fibers *fs = fibers_here();

	return fs && fs->running ? fs->running->op : NULL;
}

void fibers_init(struct core *c)
{
	struct fibers *fs = frames_boot_alloc(sizeof(*fs));

	fs->fiber = frames_boot_alloc(sizeof(*fs->fiber) * FIBERS_PER_CORE);
	list_init(&fs->free);
	waitlist_init(&fs->wanted);
	for (unsigned i = 0; i < FIBERS_PER_CORE; i++) {
		fs->fiber[i].stack = frames_boot_alloc(FIBER_STACK_BYTES);
		list_push_back(&fs->free, &fs->fiber[i].link);
	}
	fibers_of_core[c->index] = fs;
	arch_preempted = fiber_interrupted;
}
