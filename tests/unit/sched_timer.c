/*
 * Do timers fire once, in order, not early, and not after they were disarmed?
 * (kernel/sched/timer.c)
 */
#include "lib/unit.h"

#include "cores/core.h"
#include "sched/timer.h"

#define COUNT 500

struct alarm {
	struct timer timer;
	unsigned fired;
	nsec_t wanted; /* NSEC_NEVER: not armed */
};

static struct alarm alarms[COUNT];
static nsec_t last_deadline;
static bool disorder;

static void ring(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->fired++;
	if (t->deadline < last_deadline || timer_is_armed(t))
		disorder = true;
	last_deadline = t->deadline;
	a->wanted = NSEC_NEVER;
}

/* The part's turn at a time we choose. */
static unsigned run_at(nsec_t now)
{
	struct core *c = cores[0];
	unsigned n, all = 0;

	c->now = now;
	last_deadline = 0;
	while ((n = c->part[PART_TIMERS]->run(c)))
		all += n;
	return all;
}

static nsec_t earliest(void)
{
	nsec_t min = NSEC_NEVER;

	for (int i = 0; i < COUNT; i++)
		min = min_of(min, alarms[i].wanted);
	return min;
}

static int setup(void **state)
{
	(void)state;
	disorder = false;
	for (int i = 0; i < COUNT; i++) {
		alarms[i].fired = 0;
		alarms[i].wanted = NSEC_NEVER;
		timer_init(&alarms[i].timer, ring);
	}
	return 0;
}

/* Does a heap that is armed, moved and disarmed at random agree with a plain list at every step? */
static void against_a_list(void **state)
{
	nsec_t now = 1000;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		struct alarm *a = &alarms[unit_random() % COUNT];

		switch (unit_random() % 8) {
		case 0 ... 3:
			a->wanted = now + unit_random() % 1000;
			timer_arm(&a->timer, a->wanted);
			break;
		case 4 ... 5:
			assert_int_equal(timer_disarm(&a->timer), a->wanted != NSEC_NEVER);
			a->wanted = NSEC_NEVER;
			break;
		case 6: {
			unsigned due = 0;

			now += unit_random() % 50;
			for (int i = 0; i < COUNT; i++)
				due += alarms[i].wanted <= now;
			assert_int_equal(run_at(now), due);
			break;
		}
		default:
			assert_int_equal(timers_next(cores[0]), earliest());
		}
	}
	assert_false(disorder);
	run_at(NSEC_NEVER);
	assert_int_equal(timers_next(cores[0]), NSEC_NEVER);
}

/* Is the turn bounded when everything is due at once? */
static void bounded(void **state)
{
	(void)state;
	for (int i = 0; i < COUNT; i++)
		timer_arm(&alarms[i].timer, 5);
	cores[0]->now = 10;
	assert_true(cores[0]->part[PART_TIMERS]->run(cores[0]) < COUNT);
	run_at(10);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(alarms[i].fired, 1);
}

static void again(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->fired++;
	if (a->fired < 5)
		timer_arm(t, t->deadline + 10);
	timer_disarm(&alarms[1].timer);
}

/* May a timer arm itself and disarm another, due at the same moment, while it fires? */
static void from_inside(void **state)
{
	(void)state;
	timer_init(&alarms[0].timer, again);
	timer_arm(&alarms[0].timer, 100);
	timer_arm(&alarms[1].timer, 100 + 1);
	assert_int_equal(run_at(99), 0);
	assert_int_equal(run_at(101), 1);
	assert_int_equal(run_at(1000), 4);
	assert_int_equal(alarms[0].fired, 5);
	assert_int_equal(alarms[1].fired, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(against_a_list, setup),
		cmocka_unit_test_setup(bounded, setup),
		cmocka_unit_test_setup(from_inside, setup),
	};

	unit_kernel(32, 1, "");
	timers_init(cores[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
