/*
 * Does a pool hand out each object once, end where it was told to, and remember its lowest point?
 * (kernel/mm/pool.c)
 */
#include "lib/unit.h"

#include "mm/frames.h"
#include "mm/pool.h"

static void bounded(void **state)
{
	enum { COUNT = 100 };
	struct pool p;
	void *held[COUNT];

	(void)state;
	pool_init(&p, "test", 100, COUNT);
	assert_int_equal(p.size, 128);
	assert_int_equal(p.free_count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		held[i] = pool_alloc(&p);
		assert_non_null(held[i]);
		assert_int_equal((uintptr_t)held[i] % 64, 0);
		memset(held[i], i, 100);
	}
	assert_null(pool_alloc(&p));
	assert_null(pool_alloc(&p));
	assert_int_equal(p.free_count, 0);
	for (int i = 0; i < COUNT; i++)
		for (int b = 0; b < 100; b++)
			assert_int_equal(((uint8_t *)held[i])[b], i);
	for (int i = 0; i < COUNT; i++)
		pool_free(&p, held[i]);
	assert_int_equal(p.free_count, COUNT);
	assert_int_equal(p.low_water, 0);
}

/* Is memory of the last freed object, which is likely in the cache, given first? */
static void newest_first(void **state)
{
	struct pool p;
	void *a, *b;

	(void)state;
	pool_init(&p, "test", 64, 8);
	a = pool_alloc(&p);
	b = pool_alloc(&p);
	pool_free(&p, b);
	pool_free(&p, a);
	assert_ptr_equal(pool_alloc(&p), a);
	assert_ptr_equal(pool_alloc(&p), b);
	assert_int_equal(p.low_water, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bounded),
					    cmocka_unit_test(newest_first) };

	unit_kernel(16, 1, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
