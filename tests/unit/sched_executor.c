/*
 * Does the executor run each verdict as promised: again, parked, done, on a fiber; and are wakes
 * idempotent and never lost? (kernel/sched/executor.c, fiber.c)
 */
#include "lib/unit.h"

#include <pthread.h>

#include "cores/balance.h"
#include "sched/fiber.h"
#include "sched/op.h"
#include "sched/preempt.h"
#include "uapi/errno.h"

enum { COUNTING, WAITING, WAKING_SELF, DEEP, LOGGED, LONG, LONGER };

static struct waitlist here;
static unsigned steps, done_count;
static int32_t done_res;
static struct op *done_order[512];

/* who ran, by priority */
#define STEPS_PER_PICK 64
static uint8_t pick[4000];
static unsigned picks;

static void done(struct op *op)
{
	done_res = op->res;
	done_order[done_count++ % array_count(done_order)] = op;
	op_free(cores[op->home], op);
}

/* Computes until somebody else sets *left to 0, if it may be interrupted; sums what it keeps on its
 * stack. */
static unsigned begun, begun_interruptible;

static enum step longer(struct op *op, volatile uint64_t *left)
{
	uint64_t mine[8] = { 0 }, sum = 0;

	begun++;
	if (!preempt_may())
		return op_finish(op, -1);
	begun_interruptible++;
	for (uint64_t rounds = 1; *left; rounds++) {
		mine[rounds % 8] = rounds;
		preempt_here();
		sum += mine[rounds % 8] - rounds;
	}
	return op_finish(op, (int32_t)sum);
}

static enum step step(struct op *op)
{
	uint64_t *left = op_body(op, uint64_t);

	steps++;
	switch (op->state) {
	case COUNTING:
		return *left ? (--*left, op_goto(op, COUNTING)) : op_finish(op, 42);
	case WAITING:
		if (op->flags & OP_CANCELLED)
			return op_finish(op, -ECANCELED);
		return *left ? (--*left, op_park(op, &here)) : op_finish(op, 1);
	case WAKING_SELF: /* what if the wake comes while it is still stepping? */
		if (!*left)
			return op_finish(op, 2);
		--*left;
		op_wake(op);
		op_wake(op);
		return op_park(op, &here);
	case LOGGED: /* as long as one may step at a time */
		if (!*left)
			return op_finish(op, 3);
		if (*left % STEPS_PER_PICK == 0 && picks < array_count(pick))
			pick[picks++] = op->priority;
		--*left;
		return op_goto(op, LOGGED);
	}
	if (op->state == LONG)
		return op_goto_long(op, LONGER);
	if (op->state == LONGER)
		return longer(op, left);
	return STEP_DEGRADE;
}

static int cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

static unsigned deep(unsigned n)
{
	volatile char frame[64];

	frame[n % 64] = (char)n;
	return n ? deep(n - 1) + (unsigned)(frame[n % 64] == (char)n) : 0;
}

static void fiber(struct op *op)
{
	uint64_t *left = op_body(op, uint64_t), local = 0x1234;
	double sum = 0.5;

	while (*left) {
		--*left;
		fiber_park(&here);
		local++;
		sum += 1.0;
	}
	op->res = (int32_t)(local - 0x1234) + (int32_t)sum + (int32_t)deep(20) - 20;
}

static const struct op_row row = {
	.name = "test",
	.body_size = 8,
	.step = step,
	.cancel = cancel,
	.fiber = fiber,
	.state_count = 7,
	.preemptible = 1,
};

static struct op *make(uint8_t state, uint64_t left)
{
	struct op *op = op_alloc(cores[0]);

	assert_non_null(op);
	op->row = &row;
	op->state = state;
	*op_body(op, uint64_t) = left;
	return op;
}

static void turns(unsigned n)
{
	while (n--)
		core_turn(cores[0]);
}

static int before(void **state)
{
	unit_frames_before(state);
	steps = done_count = 0;
	done_res = -9999;
	waitlist_init(&here);
	return ops_free_count(cores[0]) == ops_total_count(cores[0]) ? 0 : -1;
}

static int after(void **state)
{
	return unit_frames_after(state) || ops_free_count(cores[0]) != ops_total_count(cores[0]) ||
			       !list_is_empty(&here.ops) ?
		       -1 :
		       0;
}

/* Is an op that never waits done at once, and one with thousands of steps shared out over turns? */
static void again(void **state)
{
	(void)state;
	op_run(make(COUNTING, 5));
	assert_int_equal(done_count, 1);
	assert_int_equal(done_res, 42);
	assert_int_equal(steps, 6);
	op_run(make(COUNTING, 10000));
	assert_int_equal(done_count, 1);
	assert_true(executor_has_work(cores[0]));
	op_run(make(COUNTING, 1)); /* another gets its turn in between */
	assert_int_equal(done_count, 2);
	turns(1000);
	assert_int_equal(done_count, 3);
	assert_false(executor_has_work(cores[0]));
}

/* Does a parked op stay parked until woken, do more wakes than parks do no harm, and does wake_one
 * take the oldest? */
static void parked(void **state)
{
	struct op *a = make(WAITING, 1), *b = make(WAITING, 1);

	(void)state;
	op_run(a);
	op_run(b);
	turns(3);
	assert_int_equal(done_count, 0);
	assert_int_equal(waitlist_wake_one(&here), 1);
	op_wake(a);
	op_wake(a);
	turns(2);
	assert_int_equal(done_count, 1);
	assert_ptr_equal(done_order[0], a);
	assert_int_equal(waitlist_wake_all(&here), 1);
	assert_int_equal(waitlist_wake_all(&here), 0);
	turns(2);
	assert_int_equal(done_count, 2);
	assert_ptr_equal(done_order[1], b);
}

/* What if the wake comes while the op is still stepping towards its park? */
static void woken_while_stepping(void **state)
{
	(void)state;
	op_run(make(WAKING_SELF, 10));
	turns(3);
	assert_int_equal(done_count, 1);
	assert_int_equal(done_res, 2);
}

/* Does a cancelled op end with -ECANCELED, once, whether parked or runnable? */
static void cancelled(void **state)
{
	struct op *a = make(WAITING, 5), *b = make(WAITING, 5);

	(void)state;
	op_run(a);
	op_run(b);
	assert_int_equal(op_cancel(a), 0);
	assert_int_equal(op_cancel(a), -EALREADY);
	op_wake(b);
	assert_int_equal(op_cancel(b), 0);
	turns(2);
	assert_int_equal(done_count, 2);
	assert_int_equal(done_res, -ECANCELED);
}

/* Does the more urgent of two run first, and the less urgent one at all while urgent work never
 * ends? */
static void priorities(void **state)
{
	struct op *low = make(WAITING, 1), *high = make(WAITING, 1), *busy[3];
	unsigned waited;

	(void)state;
	low->priority = 7;
	high->priority = 1;
	op_run(low);
	op_run(high);
	waitlist_wake_all(&here);
	turns(2);
	assert_ptr_equal(done_order[0], high);
	assert_ptr_equal(done_order[1], low);

	low = make(WAITING, 1);
	low->priority = 7;
	op_run(low);
	op_wake(low);
	for (int i = 0; i < 3; i++) {
		busy[i] = make(COUNTING, 2000000);
		busy[i]->priority = 0;
		op_run(busy[i]);
	}
	for (waited = 0; done_count == 2; waited++)
		turns(1);
	assert_ptr_equal(done_order[2], low);
	assert_true(waited < 200);
	while (done_count < 6)
		turns(100);
}

/*
 * Is each of eight priorities served, never later than is promised, however much is to be done at
 * all the others, and still mostly the most urgent? And do eight that become runnable at once run
 * in their order?
 */
static void ageing(void **state)
{
	struct op *op[OP_PRIORITIES];
	unsigned last[OP_PRIORITIES] = { 0 }, urgent = 0;

	(void)state;
	picks = 0;
	for (unsigned p = 0; p < OP_PRIORITIES; p++) {
		op[p] = make(WAITING, 1);
		op[p]->priority = (uint8_t)((p * 3 + 5) % OP_PRIORITIES);
		op_run(op[p]);
	}
	waitlist_wake_all(&here);
	turns(1);
	assert_int_equal(done_count, OP_PRIORITIES);
	for (unsigned p = 0; p < OP_PRIORITIES; p++)
		assert_ptr_equal(done_order[(p * 3 + 5) % OP_PRIORITIES], op[p]);

	for (unsigned p = 0; p < OP_PRIORITIES; p++) {
		op[p] = make(LOGGED, STEPS_PER_PICK * array_count(pick));
		op[p]->priority = (uint8_t)p;
		op_run_later(op[p]);
	}
	while (picks < array_count(pick))
		turns(1);
	for (unsigned i = 0; i < picks; i++) {
		assert_true(i - last[pick[i]] <= OP_PICKS_MAX);
		last[pick[i]] = i;
		urgent += pick[i] == 0;
	}
	for (unsigned p = 0; p < OP_PRIORITIES; p++)
		assert_true(picks - last[p] <= OP_PICKS_MAX);
	assert_true(urgent > picks / 2);
	for (unsigned p = 0; p < OP_PRIORITIES; p++)
		*op_body(op[p], uint64_t) = 0;
	turns(2);
	assert_int_equal(done_count, 2 * OP_PRIORITIES);
}

/* Does a fiber keep its locals over parks, and does one too many wait for a free stack? */
static void fibers(void **state)
{
	enum { COUNT = FIBERS_PER_CORE + 5 };

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		op_run(make(DEEP, 3));
	assert_int_equal(done_count, 0);
	for (int i = 0; i < 100 && done_count < COUNT; i++) {
		waitlist_wake_all(&here);
		turns(2);
	}
	assert_int_equal(done_count, COUNT);
	assert_int_equal(done_res, 6);
	assert_null(fiber_op());
}

/* Does a long step that does not end make way for others at the end of its budget, keep its
 * locals, and go on until it is told to end? And the one for which there is no stack, does it run
 * at all? */
static void long_steps(void **state)
{
	enum { COUNT = FIBERS_PER_CORE + 3 };
	struct op *op[COUNT];
	uint64_t before = cores[0]->count->degrades, none = cores[0]->count->fibers_short;

	(void)state;
	begun = begun_interruptible = 0;
	op[0] = make(LONG, 1);
	op_run(op[0]);
	assert_int_equal(begun, 0); /* not on the stack of who asks */
	op_run_later(make(COUNTING, 3));
	while (done_count < 1)
		turns(1);
	assert_int_equal(begun_interruptible, 1);
	assert_true(cores[0]->count->degrades > before);
	for (unsigned i = 1; i < COUNT; i++) {
		op[i] = make(LONG, 1);
		op_run(op[i]);
	}
	while (done_count < 1 + COUNT - FIBERS_PER_CORE)
		turns(1);
	assert_int_equal(done_res, -1);
	assert_int_equal(begun, COUNT);
	assert_int_equal(begun_interruptible, FIBERS_PER_CORE);
	assert_int_equal(cores[0]->count->fibers_short - none, COUNT - FIBERS_PER_CORE);
	op_wake(op[0]); /* a wake in the middle of a step is no reason to begin it again */
	assert_int_equal(op_cancel(op[1]), 0);
	for (unsigned i = 0; i < FIBERS_PER_CORE; i++)
		*op_body(op[i], uint64_t) = 0;
	while (done_count < 1 + COUNT)
		turns(1);
	assert_int_equal(done_res, 0);
	assert_int_equal(begun, COUNT);
	assert_null(fiber_op());
}

/* Does a step of little priority wait while there is other work, and yet have its whole budget at
 * the latest after STEP_HURRIED_MAX attempts, again and again? */
static void hurried(void **state)
{
	struct op *op = make(LONG, 1);
	uint64_t before = cores[0]->count->degrades;

	(void)state;
	begun = 0;
	op->priority = 7;
	cores[0]->timer_next = 0; /* always due */
	op_run(op);
	for (unsigned round = 1; round <= 3; round++) {
		nsec_t start;

		turns(STEP_HURRIED_MAX);
		assert_int_equal(begun, round > 1);
		assert_int_equal(cores[0]->count->degrades - before, round - 1);
		start = arch_time_ns();
		turns(1);
		assert_int_equal(begun, 1);
		assert_int_equal(cores[0]->count->degrades - before, round);
		assert_true(arch_time_ns() - start >= STEP_BUDGET_NS);
	}
	*op_body(op, uint64_t) = 0;
	cores[0]->timer_next = NSEC_NEVER;
	turns(1);
	assert_int_equal(done_count, 1);
}

/* Is an empty pool an answer and not an accident? */
static void pool_ends(void **state)
{
	uint32_t total = ops_total_count(cores[0]);
	struct op **ops = calloc(total, sizeof(*ops));

	(void)state;
	for (uint32_t i = 0; i < total; i++)
		ops[i] = make(COUNTING, 0);
	assert_null(op_alloc(cores[0]));
	assert_int_equal(ops_free_count(cores[0]), 0);
	for (uint32_t i = 0; i < total; i++)
		op_run(ops[i]);
	assert_int_equal(done_count, total);
	free(ops);
}

static _Atomic bool remote_on;

static void *remote(void *arg)
{
	(void)arg;
	unit_be_core(1);
	while (remote_on)
		core_turn(cores[1]);
	while (core_turn(cores[1]))
		;
	return NULL;
}

/* Steps that went to sleep: an op may be woken from afar once its own core has said so much. */
static _Atomic unsigned arrivals;

static enum step travel(struct op *op)
{
	uint64_t *left = op_body(op, uint64_t);

	steps++;
	if (this_core()->index != op->core)
		return op_finish(op, -1000);
	if (!*left)
		return op_finish(op, 7);
	--*left;
	atomic_fetch_add(&arrivals, 1);
	return op_park_alone(op);
}

static const struct op_row travel_row = {
	.name = "travel", .body_size = 8, .step = travel, .state_count = 1
};

static void travel_done(struct op *op)
{
	if (this_core()->index == op->home) {
		done(op);
		return;
	}
	done_res = op->res;
	atomic_store((_Atomic unsigned *)&done_count, done_count + 1);
}

/* Does an op that was sent to another core run there and nowhere else, and do wakes from afar reach
 * it? */
static void sent_away(void **state)
{
	pthread_t t;

	(void)state;
	op_done_hook = travel_done;
	remote_on = true;
	assert_int_equal(pthread_create(&t, NULL, remote, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		struct op *op = make(0, 1);
		unsigned was = done_count, arrived = atomic_load(&arrivals);

		op->row = &travel_row;
		op_send(op, 1);
		while (atomic_load(&arrivals) == arrived)
			arch_relax();
		op_wake_remote(op);
		while (atomic_load((_Atomic unsigned *)&done_count) == was)
			arch_relax();
		assert_int_equal(done_res, 7);
		op_free(cores[0], op);
	}
	remote_on = false;
	pthread_join(t, NULL);
	op_done_hook = done;
}

/* ---- given away ------------------------------------------------------------------------------ */

enum { PINNED, FREE };

static _Atomic unsigned ran_on[2];

static enum step roam(struct op *op)
{
	atomic_fetch_add(&ran_on[this_core()->index], 1);
	return op_finish(op, 0);
}

static uint8_t roam_placed(const struct op *op)
{
	return op->state == FREE ? OP_PLACE_ANY : OP_PLACE_HOME;
}

#define WORK_NS 10000u /* just worth the way */

static uint32_t each_work = WORK_NS;

static uint32_t roam_work(const struct op *op)
{
	(void)op;
	return each_work;
}

static const struct op_row roam_row = {
	.name = "roam", .body_size = 8, .step = roam, .placed = roam_placed, .work = roam_work,
	.state_count = 2
};

#define MANY 70u

static struct op *told[MANY];
static unsigned told_count;

static void told_of(struct op *op, unsigned to)
{
	assert_int_equal(to, 1);
	assert_int_equal(op->core, 0);
	told[told_count++] = op;
}

/* Does a crowded core give away what may run anywhere, the last and least urgent first, once each,
 * and nothing else? */
static void given_away(void **state)
{
	const struct balance_mover *waiting = balance_mover(BALANCE_OP);
	struct balance_unit unit;
	struct op *op[8];
	pthread_t t;

	(void)state;
	op_done_hook = travel_done;
	op_given_hook = told_of;
	told_count = 0;
	atomic_store(&ran_on[0], 0);
	atomic_store(&ran_on[1], 0);
	assert_int_equal(waiting->list(cores[0], &unit, 1), 0);
	for (unsigned i = 0; i < 8; i++) {
		op[i] = make(i % 2 ? FREE : PINNED, 0);
		op[i]->row = &roam_row;
		op[i]->priority = i == 1 ? OP_PRIORITY_NORMAL + 1 : OP_PRIORITY_NORMAL;
		op_run_later(op[i]);
	}
	each_work = WORK_NS - 1;
	assert_int_equal(op_give(cores[0], 1, 3 * WORK_NS), 0);
	assert_int_equal(waiting->list(cores[0], &unit, 1), 0);
	each_work = WORK_NS;
	assert_int_equal(waiting->list(cores[0], &unit, 1), 1);
	assert_int_equal(unit.load, 4);
	assert_int_equal(unit.work_ns, 4 * WORK_NS);
	assert_int_equal(waiting->move(cores[0], unit.id + 1, 1), -ENOENT);
	assert_int_equal(waiting->move(cores[0], unit.id, 1), 0); /* half of it */
	assert_int_equal(told_count, 2);
	assert_int_equal(op_give(cores[0], 1, WORK_NS), 1);
	assert_ptr_equal(told[0], op[1]);
	assert_ptr_equal(told[1], op[7]);
	assert_ptr_equal(told[2], op[5]);
	assert_int_equal(op[7]->core, 1);
	assert_true(op[7]->flags & OP_GIVEN);
	op[3]->flags |= OP_GIVEN; /* as if it had come from another core */
	assert_int_equal(waiting->move(cores[0], unit.id, 1), -ENOENT);
	assert_int_equal(op_give(cores[0], 1, 8 * WORK_NS), 0);
	turns(1); /* the others run here */
	assert_int_equal(atomic_load(&ran_on[0]), 5);
	assert_int_equal(atomic_load(&ran_on[1]), 0);
	assert_false(executor_has_work(cores[0]));
	remote_on = true;
	assert_int_equal(pthread_create(&t, NULL, remote, NULL), 0);
	while (atomic_load((_Atomic unsigned *)&done_count) < 8)
		arch_relax();
	remote_on = false;
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&ran_on[1]), 3);
	op_free(cores[0], op[1]);
	op_free(cores[0], op[5]);
	op_free(cores[0], op[7]);
	op_done_hook = done;
}

/* Its bounds: is never more looked at than is promised, nothing given for nothing, no work counted
 * beyond what can be said, nothing written where there is no room, nothing sent where nobody
 * serves? */
static void given_bounds(void **state)
{
	const struct balance_mover *waiting = balance_mover(BALANCE_OP);
	struct balance_unit unit = { .load = 77 };

	(void)state;
	op_done_hook = travel_done;
	told_count = 0;
	for (unsigned i = 0; i < MANY; i++) {
		struct op *op = make(FREE, 0);

		op->row = &roam_row;
		op_run_later(op);
	}
	assert_int_equal(waiting->list(cores[0], &unit, 0), 0);
	assert_int_equal(unit.load, 77);
	each_work = UINT32_MAX / 2;
	assert_int_equal(waiting->list(cores[0], &unit, 1), 1);
	assert_int_equal(unit.load, 64);
	assert_int_equal(unit.work_ns, UINT32_MAX);
	each_work = WORK_NS;
	assert_int_equal(waiting->move(cores[0], unit.id, 2), -EINVAL);
	assert_int_equal(op_give(cores[0], 1, 0), 0);
	assert_int_equal(op_give(cores[0], 1, WORK_NS + 1), 2);
	assert_int_equal(op_give(cores[0], 1, MANY * WORK_NS), 64);
	assert_int_equal(told_count, 66);
	while (executor_has_work(cores[0]))
		turns(1);
	unit_be_core(1);
	for (unsigned i = 0; i < 10; i++)
		core_turn(cores[1]);
	unit_be_core(0);
	assert_int_equal(done_count, MANY);
	for (unsigned i = 0; i < told_count; i++)
		op_free(cores[0], told[i]);
	op_done_hook = done;
}

#define exec_test(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		exec_test(again),     exec_test(parked),     exec_test(woken_while_stepping),
		exec_test(cancelled), exec_test(priorities), exec_test(fibers),
		exec_test(pool_ends), exec_test(sent_away),  exec_test(ageing),
		exec_test(long_steps), exec_test(hurried),    exec_test(given_away),
		exec_test(given_bounds),
	};

	unit_kernel(64, 3, "map=0:kernel,1:mixed,2:user");
	for (unsigned i = 0; i < 2; i++) {
		executor_init(cores[i], 256);
		fibers_init(cores[i]);
		cores[i]->timer_next = NSEC_NEVER;
	}
	op_done_hook = done;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
