/*
 * Is every frame given to one holder at a time, and does everything come back? (kernel/mm/frames.c)
 */
#include "lib/unit.h"

#include <pthread.h>

#include "cores/core.h"
#include "mm/frames.h"

/* Does memory end without an overlap, and is all of it there again afterwards? */
static void until_empty(void **state)
{
	uint64_t total = frames_free_count(), taken = 0, count = 0;
	paddr_t *blocks = calloc(total, sizeof(*blocks));
	uint8_t *orders = calloc(total, 1);

	(void)state;
	for (unsigned order = FRAME_ORDER_MAX + 1; order-- > 0;) {
		paddr_t pa;

		while ((pa = frame_alloc(order))) {
			assert_int_equal(pa & ((PAGE_SIZE << order) - 1), 0);
			assert_true(frame_is_managed(pa));
			assert_int_equal(frame_refs(pa), 1);
			for (uint64_t i = 0; i < 1u << order; i++)
				*(uint64_t *)arch_direct(pa + i * PAGE_SIZE) = count;
			blocks[count] = pa;
			orders[count++] = (uint8_t)order;
			taken += 1u << order;
		}
	}
	assert_int_equal(taken, total);
	assert_int_equal(frames_free_count(), 0);
	for (uint64_t b = 0; b < count; b++)
		for (uint64_t i = 0; i < 1u << orders[b]; i++)
			assert_int_equal(*(uint64_t *)arch_direct(blocks[b] + i * PAGE_SIZE), b);
	/* in an order that is not the order of allocation */
	for (uint64_t b = 0; b < count; b += 2)
		frame_put(blocks[b]);
	for (uint64_t b = 1; b < count; b += 2)
		frame_put(blocks[b]);
	assert_int_equal(frames_free_count(), total);
	free(blocks);
	free(orders);
}

/* Do freed neighbours become a large block again? */
static void merges(void **state)
{
	enum { COUNT = 4096 };
	static paddr_t pages[COUNT];
	unsigned large_before = 0, large_after = 0;
	paddr_t held[64];

	(void)state;
	while (large_before < 64 && (held[large_before] = frame_alloc(FRAME_ORDER_MAX)))
		large_before++;
	for (unsigned i = 0; i < large_before; i++)
		frame_put(held[i]);
	for (unsigned i = 0; i < COUNT; i++) {
		pages[i] = frame_alloc(0);
		assert_true(pages[i]);
	}
	for (unsigned i = COUNT; i-- > 1;) { /* shuffle */
		unsigned j = (unsigned)(unit_random() % (i + 1));
		paddr_t t = pages[i];

		pages[i] = pages[j];
		pages[j] = t;
	}
	for (unsigned i = 0; i < COUNT; i++)
		frame_put(pages[i]);
	while (large_after < 64 && (held[large_after] = frame_alloc(FRAME_ORDER_MAX)))
		large_after++;
	for (unsigned i = 0; i < large_after; i++)
		frame_put(held[i]);
	assert_true(large_before > 0);
	/* a core's cache may hold frames of one or two blocks */
	assert_true(large_after + 2 >= large_before);
}

/* Is a frame free only when the last reference is gone, and does an address inside a block name the
 * block? */
static void references(void **state)
{
	paddr_t pa = frame_alloc(3);
	uint64_t free_with = frames_free_count();

	(void)state;
	assert_true(pa);
	frame_get(pa);
	frame_get(pa + 5 * PAGE_SIZE);
	assert_int_equal(frame_refs(pa), 3);
	frame_put(pa + PAGE_SIZE);
	frame_put(pa);
	assert_int_equal(frames_free_count(), free_with);
	assert_true(frame_get_live(pa));
	frame_put(pa);
	frame_put(pa);
	assert_int_equal(frames_free_count(), free_with + 8);
	assert_false(frame_get_live(pa));
}

/* Is a frame that was dirty zero when zeroes were asked for? */
static void zeroed(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		paddr_t pa = frame_alloc_zeroed();
		const uint64_t *words = arch_direct(pa);

		assert_true(pa);
		for (size_t i = 0; i < PAGE_SIZE / 8; i++)
			assert_int_equal(words[i], 0);
		memset(arch_direct(pa), 0xee, PAGE_SIZE);
		frame_put(pa);
	}
}

/* Is the reserve kept from programs and open to the kernel? */
static void reserve(void **state)
{
	uint64_t total = frames_free_count(), n = 0;
	paddr_t *pages = calloc(total, sizeof(*pages));

	(void)state;
	while ((pages[n] = frame_alloc_user()))
		n++;
	assert_true(n > 0);
	assert_true(n < total);
	pages[n] = frame_alloc(0);
	assert_true(pages[n]);
	for (uint64_t i = 0; i <= n; i++)
		frame_put(pages[i]);
	free(pages);
}

static void *churn(void *arg)
{
	unsigned index = (unsigned)(uintptr_t)arg;
	paddr_t held[97] = { 0 };
	uint64_t s = index * 2654435761u + 1;
	uintptr_t broken = 0;

	unit_be_core(index);
	for (unsigned i = 0; i < 60000; i++) {
		unsigned k;

		s = s * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(s >> 33) % array_count(held);
		if (held[k]) {
			broken |= *(uint64_t *)arch_direct(held[k]) != (held[k] ^ index);
			frame_put(held[k]);
			held[k] = 0;
		} else if ((held[k] = frame_alloc(s >> 60 ? 0 : 2))) {
			*(uint64_t *)arch_direct(held[k]) = held[k] ^ index;
		}
	}
	for (unsigned k = 0; k < array_count(held); k++)
		if (held[k])
			frame_put(held[k]);
	return (void *)broken;
}

/* Do cores that allocate at the same moment ever get the same frame? */
static void many_cores(void **state)
{
	pthread_t t[4];
	void *broken;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, churn, (void *)(uintptr_t)(i + 1)), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], &broken);
		assert_null(broken);
	}
}

/* How many frames fewer boot finds when the first three quarters of a MiB are reserved in three
 * parts, named in this order: a child's exit status. */
static int boot_with_reserved(const void *order)
{
	const uint8_t *part = order;
	uint64_t before = frames_free_count();

	arch_boot.reserved_count = 3;
	for (unsigned i = 0; i < 3; i++)
		arch_boot.reserved[i] = (struct arch_range){
			arch_boot.memory[0].base + part[i] * (256u << 10), 256 << 10};
	frames_init();
	return (int)(before - frames_free_count());
}

/* Does the order in which adjoining reserved ranges are named change what memory there is? Newer
 * firmware reserves two for itself, highest first. */
static void reserved_in_any_order(void **state)
{
	static const uint8_t orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}};

	(void)state;
	for (unsigned i = 1; i < array_count(orders); i++)
		assert_int_equal(unit_in_child(boot_with_reserved, orders[i]),
				 unit_in_child(boot_with_reserved, orders[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_test_frames(until_empty), unit_test_frames(merges),
		unit_test_frames(references),  unit_test_frames(zeroed),
		unit_test_frames(reserve),     unit_test_frames(many_cores),
		unit_test_frames(reserved_in_any_order),
	};

	unit_kernel(64, 5, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
