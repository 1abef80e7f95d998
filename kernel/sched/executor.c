/*
 * executor: runs op steps. It knows four verdicts (again, parked, done, degrade), bounds the steps
 * per op and per turn, and is the one place that traces them. Runnable ops queue by priority;
 * within a priority in the order they were woken. A queue that was passed over AGEING_PICKS times
 * in a row is served first once, the least urgent of several such before the others: so its first
 * op waits for less than OP_PICKS_MAX others, whatever is more urgent (op.h).
 *
 * Owner core only, except op_send and op_wake_remote, which go through the mailbox.
 */
#include "sched/op.h"

#include "base/meter.h"
#include "base/print.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "mm/pool.h"
#include "sched/fiber.h"
#include "uapi/errno.h"

#define STEPS_PER_RUN 16 /* states one op may visit before others get their turn */
#define OPS_PER_TURN 64
#define AGEING_PICKS (OP_PICKS_MAX - OP_PRIORITIES)

struct executor {
	struct list queue[OP_PRIORITIES]; /* 0 is the most urgent */
	uint8_t passed_over[OP_PRIORITIES];
	struct op *running;
	struct pool pool;
};

void (*op_done_hook)(struct op *op);
const char *(*op_measured_as)(const struct op *op);

static unsigned executor_level(const struct op *op)
{
	return op->priority < OP_PRIORITIES ? op->priority : OP_PRIORITIES - 1;
}

/* The queue for the op, which is runnable from now on. */
static inline struct list *executor_queue_of(struct core *c, struct op *op)
{
	unsigned prio = executor_level(op);

	audit(!arch_window_is_open());
	op->life = OP_RUNNABLE;
	c->ops_ready |= 1u << prio;
	return &c->exec->queue[prio];
}

static void executor_queue(struct core *c, struct op *op)
{
	list_push_back(executor_queue_of(c, op), &op->link);
}

/*
 * The most urgent priority of `ready` (not 0). A loop: the base instruction set has no count of
 * trailing zeros, and the library's costs more.
 */
static unsigned executor_first(uint32_t ready)
{
	unsigned prio = 0;

	while (!(ready & 1u << prio))
		prio++;
	return prio;
}

static struct op *executor_next(struct core *c, struct executor *ex)
{
	unsigned first = executor_first(c->ops_ready), prio = first;
	struct op *op;

	for (unsigned p = first + 1; c->ops_ready >> p; p++)
		if ((c->ops_ready & 1u << p) && ++ex->passed_over[p] >= AGEING_PICKS)
			prio = p;
	ex->passed_over[prio] = 0;
	op = list_item(list_take_front(&ex->queue[prio]), struct op, link);
	if (list_is_empty(&ex->queue[prio]))
		c->ops_ready &= ~(1u << prio);
	return op;
}

/* ---- what is traced and measured ------------------------------------------------------------- */

void op_measure(const struct op *op)
{
	if (meter_on)
		meter_begin((struct meter_key){ METER_OP, op_measured_as(op) }, op);
}

/* The stretch of an op that is done ends behind what its end brings with it. */
static void (*measured_done)(struct op *op);

static void op_done_measured(struct op *op)
{
	measured_done(op);
	meter_end();
}

void op_measure_init(void)
{
	measured_done = op_done_hook;
	op_done_hook = op_done_measured;
}

/* Before a step, and with the verdict of one that ends. */
static noinline_fn void op_traced(const struct op *op, enum step v)
{
	trace_event(TRACE_STEP, op->opcode | (uint32_t)op->state << 8 | (uint32_t)v << 16,
		    (uintptr_t)op, op->user_data);
	if (!meter_on)
		return;
	if (!meter_is(op))
		op_measure(op);
	if (v == STEP_DEGRADE || (v == STEP_AGAIN && (op->flags & OP_LONG)) ||
	    (v == STEP_PARKED && !(op->flags & OP_WAKE_PENDING)))
		meter_end();
}

/* ---- steps ----------------------------------------------------------------------------------- */

void op_continue(struct op *op, enum step v)
{
	struct core *c = this_core();

	for (unsigned steps = 0; steps < STEPS_PER_RUN; steps++) {
		if (unlikely(trace_detail))
			op_traced(op, v);
		switch (v) {
		case STEP_AGAIN:
			if (likely(!(op->flags & OP_LONG)))
				break;
			executor_queue(c, op);
			return;
		case STEP_PARKED:
			if (likely(!(op->flags & OP_WAKE_PENDING))) {
				op->life = OP_PARKED;
				c->count->parks++;
				return;
			}
			/* woken while it was parking: look again */
			op->flags &= (uint8_t)~OP_WAKE_PENDING;
			list_remove(&op->link);
			break;
		case STEP_DONE:
			op->flags &= (uint8_t)~OP_WAKE_PENDING;
			op_done_hook(op);
			return;
		case STEP_DEGRADE:
			fiber_start(op);
			return;
		}
		c->count->steps++;
		v = op->row->step(op);
	}
	if (v == STEP_AGAIN) {
		if (unlikely(meter_on))
			meter_end();
		executor_queue(c, op);
		return;
	}
	/* a final verdict on the last step: at most once more, it does not loop */
	op_continue(op, v);
}

void op_run(struct op *op)
{
	op->life = OP_STEPPING;
	op_continue(op, STEP_AGAIN);
}

void op_run_later(struct op *op)
{
	executor_queue(this_core(), op);
}

void op_run_soon(struct op *op)
{
	list_push_front(executor_queue_of(this_core(), op), &op->link);
}

/* Whoever is not parked. */
static noinline_fn void wake_other(struct op *op)
{
	switch ((enum op_life)op->life) {
	case OP_STEPPING:
	case OP_FIBER:
		op->flags |= OP_WAKE_PENDING;
		return;
	case OP_RUNNABLE:
		if (op->flags & OP_ON_FIBER) /* in the middle of a step, or to be told twice */
			op->flags |= OP_WAKE_PENDING;
		return;
	case OP_PARKED: /* op_wake's */
	case OP_TRAVELLING:
	case OP_HELD:
	case OP_DONE:
		return;
	case OP_FREE:
		op_corrupt(op);
	}
}

void op_wake(struct op *op)
{
	audit(!arch_window_is_open());
	if (unlikely(op->life != OP_PARKED)) {
		wake_other(op);
		return;
	}
	list_remove(&op->link);
	executor_queue(this_core(), op);
}

unsigned waitlist_wake_one(struct waitlist *w)
{
	if (list_is_empty(&w->ops))
		return 0;
	op_wake(list_item(w->ops.next, struct op, link));
	return 1;
}

/* Takes the list away first: an op that is woken while it is stepping stays linked until its
 * verdict is in. */
unsigned waitlist_wake_all(struct waitlist *w)
{
	struct list woken;
	unsigned n = 0;

	list_init(&woken);
	list_append_all(&woken, &w->ops);
	while (!list_is_empty(&woken)) {
		struct op *op = list_item(woken.next, struct op, link);

		if (op->life != OP_PARKED) {
			list_remove(&op->link);
			list_push_back(&w->ops, &op->link);
		}
		op_wake(op);
		n++;
	}
	return n;
}

static void op_arrive(struct mail *m)
{
	struct op *op = container_of(m, struct op, mail);

	executor_queue(this_core(), op);
}

void op_send(struct op *op, unsigned index)
{
	op->life = OP_TRAVELLING;
	/* Pairs with op_core, of a ring's core that wants to cancel it. */
	__atomic_store_n(&op->core, (uint8_t)index, __ATOMIC_RELEASE);
	op->mail.deliver = op_arrive;
	trace_hot(TRACE_MAIL, index, (uintptr_t)op, op->user_data);
	mailbox_post(index, &op->mail);
}

void op_unqueue(struct op *op)
{
	struct core *c = this_core();
	unsigned prio = executor_level(op);

	audit(op->life == OP_RUNNABLE && op->core == c->index);
	list_remove(&op->link);
	if (list_is_empty(&c->exec->queue[prio]))
		c->ops_ready &= ~(1u << prio);
	op->life = OP_PARKED;
}

static void op_wake_deliver(struct mail *m)
{
	op_wake(container_of(m, struct op, mail));
}

void op_wake_remote(struct op *op)
{
	op->mail.deliver = op_wake_deliver;
	trace_hot(TRACE_MAIL, op->core, (uintptr_t)op, op->user_data);
	mailbox_post(op->core, &op->mail);
}

int op_cancel(struct op *op)
{
	struct core *c = this_core();
	int err;

	audit(op->core == c->index);
	if (op->life == OP_DONE)
		return -ENOENT;
	if (op->flags & OP_CANCELLED)
		return -EALREADY;
	c->count->cancels++;
	op->flags |= OP_CANCELLED;
	if (op->life != OP_PARKED)
		return 0; /* it will see the flag before it parks again, or it is done */
	if (op->flags & OP_ON_FIBER) {
		op_wake(op);
		return 0;
	}
	err = op->row->cancel ? op->row->cancel(op) : -EALREADY;
	if (err)
		op->flags &= (uint8_t)~OP_CANCELLED;
	return err;
}

noreturn_fn void op_corrupt(struct op *op)
{
	panic("op %p: opcode %u in state %u, life %u", (void *)op, op->opcode, op->state, op->life);
}

static unsigned executor_run(struct core *c)
{
	struct executor *ex = c->exec;
	unsigned n = 0;

	while (c->ops_ready && n < OPS_PER_TURN) {
		struct op *op = executor_next(c, ex);

		ex->running = op;
		n++;
		if (unlikely(op->flags & (OP_ON_FIBER | OP_LONG))) {
			if (fiber_run(op))
				break; /* it may have taken long: the turn goes on */
		} else {
			op_run(op);
		}
	}
	ex->running = NULL;
	if (n)
		core_peak(&c->ops_peak, n);
	return n;
}

static bool executor_arm(struct core *c)
{
	return executor_has_work(c);
}

static const struct core_part_ops executor_part = { .name = "ops",
						    .run = executor_run,
						    .arm = executor_arm };

struct list *executor_queue_at(struct core *c, unsigned prio)
{
	return &c->exec->queue[prio];
}

struct op *executor_running(const struct core *c)
{
	return c->exec ? c->exec->running : NULL;
}

void executor_init(struct core *c, uint32_t ops)
{
	struct executor *ex = frames_boot_alloc(sizeof(*ex));

	for (unsigned i = 0; i < OP_PRIORITIES; i++)
		list_init(&ex->queue[i]);
	pool_init(&ex->pool, "ops", sizeof(struct op), ops);
	c->exec = ex;
	core_part_set(c, PART_OPS, &executor_part);
	op_give_init();
}

uint32_t ops_free_count(struct core *c)
{
	return c->exec ? c->exec->pool.free_count + (c->hand ? 1 : 0) : 0;
}

uint32_t ops_total_count(struct core *c)
{
	return c->exec ? c->exec->pool.total : 0;
}

struct op *op_alloc(struct core *c)
{
	struct op *op = pool_alloc(&c->exec->pool);

	if (unlikely(!op)) {
		c->count->pool_empty++;
		return NULL;
	}
	c->count->ops_taken_from_pool++;
	list_init(&op->link);
	list_init(&op->inflight);
	op->cancel_mail.deliver = NULL;
	op->row = NULL;
	op->ring = NULL;
	op->file = NULL;
	op->chain = NULL;
	op->res = 0;
	op->cqe_flags = 0;
	op->extra = 0;
	op->word = 0;
	op->life = OP_HELD;
	op->priority = OP_PRIORITY_NORMAL;
	op->core = op->home = (uint8_t)c->index;
	return op;
}

void op_free(struct core *c, struct op *op)
{
	audit(op->home == c->index && !list_is_linked(&op->link));
	op->life = OP_FREE;
	pool_free(&c->exec->pool, op);
}
