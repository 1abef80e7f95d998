/*
 * fiber: stacks for the cold and the deep. A fiber belongs to one op of one core; switching is a
 * function call that returns later.
 *
 *   fiber_start: stack free -> runs row->fiber(op) at once, on top of the executor's context
 *                none free  -> the op waits on the core's list for one
 *   fiber_park:  back to the executor; op_wake queues the op; fiber_resume continues it
 *   row->fiber returned: back to the executor for the last time, op_done_hook, stack back to the pool
 *
 * Each stack ends in a guard word that is checked at every switch back. Owner core only.
 */
#include "sched/fiber.h"

#include "base/panic.h"
#include "base/trace.h"
#include "mm/frames.h"

#define FIBER_GUARD 0x5a1ce5a1ce5a1ceull

struct fiber {
	struct arch_fiber context;
	struct op *op;
	char *stack; /* lowest address; the first word is the guard */
	bool finished;
	struct list link; /* free list */
};

struct fibers {
	struct arch_fiber executor; /* where the core's own context waits while a fiber runs */
	struct fiber *running;
	struct list free;
	struct waitlist wanted; /* ops that wait for a stack */
	struct fiber *fiber;
};

static struct fibers *fibers_of_core[CORES_MAX];

static struct fibers *fibers_here(void)
{
	return fibers_of_core[this_core()->index];
}

static void fiber_main(void *arg)
{
	struct fiber *f = arg;

	f->op->row->fiber(f->op);
	f->finished = true;
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

static void fiber_enter(struct fibers *fs, struct fiber *f)
{
	struct op *op = f->op;

	fiber_trace(op, STEP_AGAIN);
	op->life = OP_FIBER;
	fs->running = f;
	arch_fiber_switch(&fs->executor, &f->context);
	fs->running = NULL;
	kassert(*(uint64_t *)f->stack == FIBER_GUARD);
	fiber_trace(op, f->finished ? STEP_DONE : STEP_PARKED);
	if (f->finished) {
		f->op = NULL;
		list_push_front(&fs->free, &f->link);
		op->flags &= (uint8_t)~(OP_ON_FIBER | OP_WAKE_PENDING);
		op->life = OP_STEPPING;
		waitlist_wake_one(&fs->wanted);
		op_done_hook(op);
		return;
	}
	op->life = OP_PARKED;
	if (op->flags & OP_WAKE_PENDING) {
		op->flags &= (uint8_t)~OP_WAKE_PENDING;
		op_wake(op);
	}
}

void fiber_resume(struct op *op)
{
	struct fibers *fs = fibers_here();

	fiber_enter(fs, fiber_of(fs, op));
}

void fiber_start(struct op *op)
{
	struct fibers *fs = fibers_here();
	struct fiber *f;

	if (list_is_empty(&fs->free)) {
		op_park(op, &fs->wanted); /* its step runs again and degrades again */
		op->life = OP_PARKED;
		return;
	}
	f = list_item(list_take_front(&fs->free), struct fiber, link);
	f->op = op;
	f->finished = false;
	op->flags |= OP_ON_FIBER;
	*(uint64_t *)f->stack = FIBER_GUARD;
	arch_fiber_init(&f->context, f->stack, FIBER_STACK_BYTES, fiber_main, f);
	this_core()->count->fibers++;
	fiber_enter(fs, f);
}

void fiber_park(struct waitlist *w)
{
	struct fibers *fs = fibers_here();
	struct fiber *f = fs->running;

	kassert(f);
	if (f->op->flags & OP_WAKE_PENDING) {
		f->op->flags &= (uint8_t)~OP_WAKE_PENDING;
		return;
	}
	if (w)
		op_park(f->op, w);
	arch_fiber_switch(&f->context, &fs->executor);
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
}
