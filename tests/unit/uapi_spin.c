/*
 * How long does who has nothing to do go on looking, after waits of one kind and another?
 */
#include "lib/unit.h"

#include "uapi/spin.h"

#define MAX 100000u

static struct spin after(struct spin s, unsigned times, uint64_t wait)
{
	while (times--)
		spin_waited(&s, wait);
	return s;
}

static struct spin fresh(void)
{
	struct spin s;

	spin_init(&s, MAX, false);
	return s;
}

/* Is the bound kept while nothing is known, and while work comes within it? */
static void looks_while_it_pays(void **state)
{
	(void)state;
	assert_int_equal(fresh().budget, MAX);
	for (uint64_t wait = 0; wait <= MAX; wait += 997)
		assert_int_equal(after(fresh(), 1000, wait).budget, MAX);
	assert_int_equal(after(fresh(), 1000, MAX).budget, MAX);
}

/* Does nobody look who waits for longer than the bound each time, and soon? */
static void sleeps_at_once(void **state)
{
	(void)state;
	assert_int_equal(after(fresh(), SPIN_EVERY, MAX + 1).budget, 0);
	assert_int_equal(after(fresh(), 1000, 50 * MAX).budget, 0);
}

/* Three short waits and a long one, over and over: is it looked as long as the short ones are, and
 * not to the bound each time? */
static void tail_of_a_burst(void **state)
{
	struct spin s = fresh();

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		s = after(s, 3, MAX / 11);
		s = after(s, 1, 40 * MAX);
	}
	assert_in_range(s.budget, MAX / 11, MAX / 8);
	/* one in twenty at the bound's end is not worth a look as long */
	for (unsigned i = 0; i < 500; i++) {
		s = after(s, 15, MAX / 100);
		s = after(s, 1, MAX);
		s = after(s, 4, 40 * MAX);
	}
	assert_in_range(s.budget, MAX / 100, MAX / 32);
}

/* Is a change of the load noticed within as many waits as count, in both directions? */
static void changes_are_noticed(void **state)
{
	struct spin s = after(fresh(), 10000, 1);
	unsigned waits = 0;

	(void)state;
	for (; s.budget > MAX / 100; waits++)
		s = after(s, 1, 10 * MAX);
	assert_in_range(waits, 1, SPIN_KEEP * 2);
	s = after(s, 10000, 10 * MAX);
	for (waits = 0; s.budget < MAX / 2; waits++)
		s = after(s, 1, MAX / 2);
	assert_in_range(waits, 1, SPIN_KEEP * 2);
}

/* Whatever comes: is the budget one that costs least for what was counted, by adding all of it
 * up? */
static uint64_t cost(const struct spin *s, uint64_t budget)
{
	uint64_t sum = s->count[0] * (budget + MAX);

	for (unsigned k = 1; k < SPIN_CLASSES; k++) {
		uint64_t bound = MAX >> (k - 1);

		sum += s->count[k] * (bound <= budget ? bound * 3 / 4 : budget + MAX);
	}
	return sum;
}

static void cheapest_of_all(void **state)
{
	struct spin s = fresh();

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		unsigned before = i % 1000 ? s.total : 0, unseen = s.unseen;
		uint64_t least;

		if (!before)
			s = fresh();
		s = after(s, 1,
			  unit_random() % (MAX >> unit_random() % 9) * (1 + unit_random() % 3));
		if (unseen != SPIN_EVERY - 1 || s.unseen || s.total < before)
			continue; /* not chosen just now, or counts were halved since */
		least = cost(&s, 0);
		for (unsigned k = 0; k < SPIN_CLASSES - 1; k++)
			least = least < cost(&s, MAX >> k) ? least : cost(&s, MAX >> k);
		assert_in_range(cost(&s, s.budget), least, least + least / 50 + 1000);
	}
}

/* Fixed is fixed, and who may not look never does. */
static void fixed(void **state)
{
	struct spin s;

	(void)state;
	spin_init(&s, MAX, true);
	assert_int_equal(after(s, 1000, 10 * MAX).budget, MAX);
	spin_init(&s, 0, false);
	assert_int_equal(after(s, 1000, 0).budget, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_while_it_pays), cmocka_unit_test(sleeps_at_once),
		cmocka_unit_test(tail_of_a_burst),     cmocka_unit_test(changes_are_noticed),
		cmocka_unit_test(cheapest_of_all),     cmocka_unit_test(fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
