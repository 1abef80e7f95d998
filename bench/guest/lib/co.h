/*
 * b_co, b_co_integer SWITCHES: what does a coroutine switch cost? Two coroutines yield to each
 * other, each with four values (co_value) alive over every switch, and the values are compared in
 * the end with those of a plain loop.
 */
#include "libasync/async.h"

#include "lib/guest.h"

#define WARM 1000u

struct side {
	uint64_t yields;
	co_value first, sum;
};

static co_value side_step(co_value *a, co_value *b, co_value *c, co_value *d)
{
	*a += 1;
	*b += *a / 2;
	*c = *b - *c;
	*d += *c / 4;
	return *d;
}

static int64_t side_run(void *arg)
{
	struct side *side = arg;
	co_value a = side->first, b = 2, c = 3, d = 4;

	for (uint64_t i = 0; i < side->yields; i++) {
		async_yield();
		side_step(&a, &b, &c, &d);
	}
	side->sum = a + b + c + d;
	return 0;
}

/* What side_run computes besides yielding. */
static co_value side_expect(const struct side *side)
{
	co_value a = side->first, b = 2, c = 3, d = 4;

	for (uint64_t i = 0; i < side->yields; i++) {
		side_step(&a, &b, &c, &d);
		__asm__ volatile("" ::: "memory");
	}
	return a + b + c + d;
}

static int pair_run(struct side *left, struct side *right)
{
	struct async_co *one = async_spawn(side_run, left), *two = async_spawn(side_run, right);

	return one && two && !async_join(one, NULL) && !async_join(two, NULL) ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct side left = { .yields = WARM, .first = 1 },
		    right = { .yields = WARM, .first = 7 };
	uint64_t count = 0, from, from_ns, switching, switching_ns, plain, plain_ns;
	co_value want_left, want_right;

	for (const char *p = argc == 2 ? argv[1] : ""; *p >= '0' && *p <= '9'; p++)
		count = count * 10 + (uint64_t)(*p - '0');
	if (!count) {
		async_printf("usage: b_co SWITCHES, b_co_integer SWITCHES\n");
		return 2;
	}
	if (pair_run(&left, &right))
		return 1;
	left.yields = right.yields = count / 2;
	from = guest_instructions();
	from_ns = guest_ns();
	if (pair_run(&left, &right))
		return 1;
	switching = guest_instructions() - from;
	switching_ns = guest_ns() - from_ns;
	from = guest_instructions();
	from_ns = guest_ns();
	want_left = side_expect(&left);
	want_right = side_expect(&right);
	plain = guest_instructions() - from;
	plain_ns = guest_ns() - from_ns;
	if (left.sum != want_left || right.sum != want_right) {
		async_printf("b_co: a value did not survive a switch\n");
		return 1;
	}
	async_printf("bench: switches=%llu instructions=%llu plain=%llu ns=%llu plain_ns=%llu\n",
		     (unsigned long long)(count / 2 * 2), (unsigned long long)switching,
		     (unsigned long long)plain, (unsigned long long)switching_ns,
		     (unsigned long long)plain_ns);
	return 0;
}
