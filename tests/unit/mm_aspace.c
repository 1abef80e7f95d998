/*
 * Is what a program may touch exactly what was mapped for it, page by page, and does every frame
 * come back? (kernel/mm/aspace.c, region.c) Where it says "the host agrees", the program's own
 * addresses are looked at through the host's mappings.
 */
#include "lib/unit.h"

#include <errno.h>
#include <pthread.h>

#include "cores/core.h"
#include "mm/aspace.h"
#include "mm/frames.h"
#include "mm/pin.h"

#define RW (ACCESS_READ | ACCESS_WRITE)

static struct aspace *as;

static int space_before(void **state)
{
	unit_frames_before(state);
	as = aspace_create();
	return as ? 0 : -1;
}

static int space_after(void **state)
{
	aspace_put(as);
	return unit_frames_after(state);
}

static bool host_reads(uaddr_t va)
{
	char byte;

	return unit_program_reads(va, &byte, 1);
}

static bool host_writes(uaddr_t va)
{
	return unit_program_writes(va, "", 1);
}

static uaddr_t map(uint64_t pages, uint32_t prot)
{
	uaddr_t at = 0;

	assert_int_equal(aspace_map_anon(as, 0, pages * PAGE_SIZE, prot, 0, &at), 0);
	assert_true(at >= as->low && at + pages * PAGE_SIZE <= as->top);
	return at;
}

/* Is a page absent until touched, zero when touched, and the same page for program and kernel? */
static void touched_lazily(void **state)
{
	uaddr_t at = map(4, RW);
	uint64_t value = 0x123456789abcdef0;

	(void)state;
	assert_int_equal(aspace_leaf(as, at), 0);
	assert_false(host_reads(at));
	assert_int_equal(aspace_fault(as, at + 8, ACCESS_READ), 0);
	assert_true(host_reads(at));
	assert_false(host_reads(at + PAGE_SIZE));
	assert_int_equal(user_read(as, at + 8, &value, 8), 0);
	assert_int_equal(value, 0);
	value = 77;
	assert_int_equal(user_write(as, at + 8, &value, 8), 0);
	value = 0;
	assert_true(unit_program_reads(at + 8, &value, 8));
	assert_int_equal(value, 77);
	value = 78;
	assert_true(unit_program_writes(at + 16, &value, 8));
	value = 0;
	assert_int_equal(user_read(as, at + 16, &value, 8), 0);
	assert_int_equal(value, 78);
}

/* Are rights enforced, and the host's mappings of present pages changed with them? */
static void rights(void **state)
{
	uaddr_t at = map(3, RW);

	(void)state;
	assert_int_equal(aspace_fault(as, at, ACCESS_WRITE), 0);
	assert_int_equal(aspace_fault(as, at + PAGE_SIZE, ACCESS_WRITE), 0);
	assert_true(host_writes(at));
	assert_int_equal(aspace_protect(as, at, PAGE_SIZE, ACCESS_READ), 0);
	assert_true(host_reads(at));
	assert_false(host_writes(at));
	assert_true(host_writes(at + PAGE_SIZE));
	assert_int_equal(aspace_fault(as, at, ACCESS_WRITE), -EFAULT);
	assert_int_equal(aspace_fault(as, at, ACCESS_READ), 0);
	assert_int_equal(aspace_fault(as, at, ACCESS_EXEC), -EFAULT);
	assert_int_equal(aspace_protect(as, at, 2 * PAGE_SIZE, 0), 0);
	assert_false(host_reads(at));
	assert_int_equal(aspace_fault(as, at, ACCESS_READ), -EFAULT);
	assert_int_equal(aspace_protect(as, at, 3 * PAGE_SIZE, RW), 0);
	assert_int_equal(aspace_fault(as, at, ACCESS_WRITE), 0);
	assert_true(host_writes(at));
}

/* Does unmapping the middle split the region and free just its pages? */
static void split(void **state)
{
	uaddr_t at = map(8, RW);
	uint64_t free_full;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(aspace_fault(as, at + i * PAGE_SIZE, ACCESS_WRITE), 0);
	free_full = frames_free_count();
	assert_int_equal(aspace_unmap(as, at + 2 * PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_int_equal(frames_free_count(), free_full + 3);
	for (unsigned i = 0; i < 8; i++) {
		bool there = i < 2 || i >= 5;

		assert_int_equal(host_writes(at + i * PAGE_SIZE), there);
		assert_int_equal(aspace_fault(as, at + i * PAGE_SIZE, ACCESS_WRITE),
				 there ? 0 : -EFAULT);
	}
	assert_int_equal(aspace_unmap(as, at + 2 * PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_false(aspace_covers(as, at, 3 * PAGE_SIZE));
	assert_true(aspace_covers(as, at, 2 * PAGE_SIZE));
	assert_true(aspace_covers(as, at + 5 * PAGE_SIZE, 3 * PAGE_SIZE));
}

/* What do senseless ranges answer? */
static void senseless(void **state)
{
	uaddr_t at = map(1, RW), out;

	(void)state;
	assert_int_equal(aspace_map_anon(as, 0, 0, RW, 0, &out), -EINVAL);
	assert_int_equal(aspace_map_anon(as, 0, UINT64_MAX, RW, 0, &out), -ENOMEM);
	assert_int_equal(aspace_map_anon(as, at + 1, PAGE_SIZE, RW, ASPACE_FIXED, &out), -EINVAL);
	assert_int_equal(aspace_map_anon(as, at, PAGE_SIZE, RW, ASPACE_FIXED_NEW, &out), -EEXIST);
	assert_int_equal(aspace_map_anon(as, as->top, PAGE_SIZE, RW, ASPACE_FIXED, &out), -ENOMEM);
	assert_int_equal(
		aspace_map_anon(as, as->top - PAGE_SIZE, 2 * PAGE_SIZE, RW, ASPACE_FIXED, &out),
		-ENOMEM);
	assert_int_equal(aspace_map_anon(as, 0, PAGE_SIZE, RW, ASPACE_FIXED, &out), -ENOMEM);
	assert_int_equal(aspace_unmap(as, at + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(aspace_unmap(as, at, 0), -EINVAL);
	assert_int_equal(aspace_fault(as, 0, ACCESS_READ), -EFAULT);
	assert_int_equal(aspace_fault(as, as->top, ACCESS_READ), -EFAULT);
	assert_int_equal(aspace_fault(as, UINT64_MAX, ACCESS_READ), -EFAULT);
	assert_int_equal(aspace_fault(as, HOSTED_DIRECT, ACCESS_READ), -EFAULT);
}

/* Does a fixed mapping replace what was there, frames included? */
static void replaced(void **state)
{
	uaddr_t at = map(4, RW), out;
	uint64_t value = 5;

	(void)state;
	assert_int_equal(user_write(as, at + PAGE_SIZE, &value, 8), 0);
	assert_int_equal(aspace_map_anon(as, at + PAGE_SIZE, PAGE_SIZE, RW, ASPACE_FIXED, &out), 0);
	assert_int_equal(out, at + PAGE_SIZE);
	assert_int_equal(user_read(as, at + PAGE_SIZE, &value, 8), 0);
	assert_int_equal(value, 0);
	assert_true(aspace_covers(as, at, 4 * PAGE_SIZE));
}

/* Does a shared block live as long as the kernel or the mapping needs it? */
static void shared_block(void **state)
{
	paddr_t block = frame_alloc(2);
	uint64_t free_with;
	uint8_t byte;
	uaddr_t at;

	(void)state;
	assert_true(block);
	memset(arch_direct(block), 0x5a, 4 * PAGE_SIZE);
	assert_int_equal(aspace_map_frames(as, 0, block, 4 * PAGE_SIZE, RW, 0, &at), 0);
	assert_true(unit_program_reads(at + 3 * PAGE_SIZE, &byte, 1));
	assert_int_equal(byte, 0x5a);
	byte = 1;
	assert_true(unit_program_writes(at + 5, &byte, 1));
	assert_int_equal(((uint8_t *)arch_direct(block))[5], 1);
	free_with = frames_free_count();
	frame_put(block); /* the mapping alone holds it now */
	assert_int_equal(frames_free_count(), free_with);
	assert_int_equal(aspace_unmap(as, at, 4 * PAGE_SIZE), 0);
	assert_true(frames_free_count() >= free_with + 4);
}

/* What if many more pages are mapped one by one than the host has mappings for? (every other page,
 * so that none can be merged) */
static void more_than_the_host_has(void **state)
{
	enum { PAGES = 70000 };
	uaddr_t at = map(2 * (uint64_t)PAGES, RW);

	(void)state;
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(aspace_fault(as, at + 2 * i * PAGE_SIZE, ACCESS_WRITE), 0);
	assert_true(host_writes(at + 2 * (PAGES - 1) * PAGE_SIZE));
}

static _Atomic bool racing;

static void *pinner(void *arg)
{
	uaddr_t at = *(uaddr_t *)arg;
	uintptr_t pins = 0;

	unit_be_core(1);
	while (racing) {
		struct pin pin;
		int64_t n = pin_user(as, at, 8 * PAGE_SIZE, ACCESS_WRITE, &pin);

		if (n > 0) {
			uint32_t run;

			memset(pin_view(&pin, 0, &run), 0xab, 16);
			pin_release(&pin);
			pins++;
		}
	}
	return (void *)pins;
}

/* Does a pin on one core against map and unmap on another ever keep or lose a frame? (the teardown
 * counts them) */
static void pin_against_unmap(void **state)
{
	uaddr_t at = map(8, RW), out;
	pthread_t t;
	void *pins;

	(void)state;
	racing = true;
	assert_int_equal(pthread_create(&t, NULL, pinner, &at), 0);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(aspace_unmap(as, at, 8 * PAGE_SIZE), 0);
		assert_int_equal(aspace_map_anon(as, at, 8 * PAGE_SIZE, RW, ASPACE_FIXED, &out), 0);
		assert_int_equal(aspace_fault(as, at + PAGE_SIZE, ACCESS_WRITE), 0);
		assert_int_equal(aspace_protect(as, at, 4 * PAGE_SIZE, ACCESS_READ), 0);
	}
	racing = false;
	pthread_join(t, &pins);
	/* what the tables say last is what the host maps */
	for (unsigned i = 0; i < 8; i++) {
		uint64_t leaf = aspace_leaf(as, at + i * PAGE_SIZE);

		assert_int_equal(host_reads(at + i * PAGE_SIZE), (leaf & PTE_V) != 0);
		assert_int_equal(host_writes(at + i * PAGE_SIZE), (leaf & PTE_W) != 0);
	}
}

/* Are spaces apart, and is a window free for the next one when its space is gone? */
static void many_spaces(void **state)
{
	struct aspace *spaces[80];
	unsigned n = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (n = 0; n < array_count(spaces) && (spaces[n] = aspace_create()); n++)
			for (unsigned i = 0; i < n; i++)
				assert_true(spaces[n]->top <= spaces[i]->low ||
					    spaces[i]->top <= spaces[n]->low);
		assert_true(n >= 32);
		for (unsigned i = 0; i < n; i++)
			aspace_put(spaces[i]);
	}
}

#define space_test(f) cmocka_unit_test_setup_teardown(f, space_before, space_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		space_test(touched_lazily), space_test(rights),
		space_test(split),	    space_test(senseless),
		space_test(replaced),	    space_test(shared_block),
		space_test(many_spaces),    space_test(pin_against_unmap),
		space_test(more_than_the_host_has),
	};

	unit_kernel(400, 2, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
