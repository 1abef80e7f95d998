/*
 * What if a page is shared copy-on-write: does the first write copy it, the last holder write in
 * place, and a pin for writing get the copy? And what if two cores fault, pin, protect and unmap
 * the same few pages all the time? (kernel/mm/aspace.c, pin.c)
 */
#include "lib/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mm/aspace.h"
#include "mm/frames.h"
#include "mm/pin.h"

#define RW (ACCESS_READ | ACCESS_WRITE)
#define PAGES 8u

static struct aspace *as;
static uaddr_t base;

static int before(void **state)
{
	unit_frames_before(state);
	as = aspace_create();
	return as && !aspace_map_anon(as, 0, PAGES * PAGE_SIZE, RW, 0, &base) ? 0 : -1;
}

static int after(void **state)
{
	aspace_put(as);
	return unit_frames_after(state);
}

/* Makes the leaf of `va` what fork will make it, as if another space shared the frame: that
 * reference is the caller's. */
static paddr_t share(uaddr_t va)
{
	paddr_t table = as->root;
	_Atomic uint64_t *slot;
	uint64_t was;

	for (int level = 2; level > 0; level--)
		table = pte_paddr(
			((_Atomic uint64_t *)arch_direct(table))[va >> (12 + 9 * level) & 511]);
	slot = &((_Atomic uint64_t *)arch_direct(table))[va >> 12 & 511];
	was = atomic_load(slot);
	frame_get(pte_paddr(was));
	atomic_store(slot, (was & ~PTE_W) | PTE_COW);
	arch_pte_changed(as, &as->arch, va, was, (was & ~PTE_W) | PTE_COW);
	return pte_paddr(was);
}

static void first_write_copies(void **state)
{
	paddr_t shared;
	char text[8];

	(void)state;
	assert_int_equal(user_write(as, base, "before", 7), 0);
	shared = share(base);
	assert_int_equal(user_read(as, base, text, 7), 0);
	assert_int_equal(pte_paddr(aspace_leaf(as, base)), shared); /* reading shares */
	assert_int_equal(user_write(as, base, "after", 6), 0);
	assert_int_not_equal(pte_paddr(aspace_leaf(as, base)), shared);
	assert_string_equal(arch_direct(shared), "before");
	assert_int_equal(frame_refs(shared), 1);
	assert_true(unit_program_reads(base, text, 6));
	assert_string_equal(text, "after");
	frame_put(shared);
}

static void last_holder_writes_in_place(void **state)
{
	paddr_t shared;

	(void)state;
	assert_int_equal(user_write(as, base, "before", 7), 0);
	shared = share(base);
	frame_put(shared);
	assert_int_equal(aspace_fault(as, base, ACCESS_WRITE), 0);
	assert_int_equal(pte_paddr(aspace_leaf(as, base)), shared);
	assert_true(aspace_leaf(as, base) & PTE_W);
	assert_false(aspace_leaf(as, base) & PTE_COW);
}

static void protect_keeps_the_share(void **state)
{
	paddr_t shared;

	(void)state;
	assert_int_equal(user_write(as, base, "before", 7), 0);
	shared = share(base);
	assert_int_equal(aspace_protect(as, base, PAGE_SIZE, ACCESS_READ), 0);
	assert_int_equal(user_write(as, base, "x", 1), -EFAULT);
	assert_int_equal(aspace_protect(as, base, PAGE_SIZE, RW), 0);
	assert_false(aspace_leaf(as, base) & PTE_W);
	assert_int_equal(user_write(as, base, "after", 6), 0);
	assert_string_equal(arch_direct(shared), "before");
	frame_put(shared);
}

static void pins_hold_what_was(void **state)
{
	paddr_t shared;
	struct pin read, write;
	char text[8];

	(void)state;
	assert_int_equal(user_write(as, base, "before", 7), 0);
	shared = share(base);
	assert_int_equal(pin_user(as, base, 7, ACCESS_READ, &read), 7);
	assert_int_equal(pin_user(as, base, 7, ACCESS_WRITE, &write), 7);
	pin_copy_out(&write, 0, "after", 6);
	pin_copy_in(&read, 0, text, 7);
	assert_string_equal(text, "before");
	assert_int_equal(user_read(as, base, text, 6), 0);
	assert_string_equal(text, "after");
	pin_release(&read);
	pin_release(&write);
	frame_put(shared);
}

/* ---- two cores ------------------------------------------------------------------------------- */

static _Atomic bool stop;

/* Any core may do what a program's other threads cause: fault and pin. Each writes words of its
 * own, as threads that mean well do. */
static void *other_core(void *arg)
{
	uint64_t x = 88172645463325252ull + (uintptr_t)arg;
	uint64_t pinned = 0;

	unit_be_core((unsigned)(uintptr_t)arg);
	while (!atomic_load(&stop)) {
		uaddr_t va;
		struct pin pin;
		uint32_t own;
		int64_t got;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		va = base + x % (PAGES * PAGE_SIZE);
		if (x >> 40 & 1) {
			int err = aspace_fault(as, va, x >> 41 & 1 ? ACCESS_WRITE : ACCESS_READ);

			if (err && err != -EFAULT)
				abort();
			continue;
		}
		got = pin_user(as, va, 1 + (x >> 20) % (3 * PAGE_SIZE), ACCESS_WRITE, &pin);
		if (got < 0 && got != -EFAULT)
			abort();
		if (got <= 0)
			continue;
		own = (uint32_t)(-va & (2 * sizeof(x) - 1)) +
		      ((uint32_t)(uintptr_t)arg - 1) * (uint32_t)sizeof(x);
		if (own + (int64_t)sizeof(x) <= got)
			pin_copy_out(&pin, own, &x, sizeof(x));
		pin_release(&pin);
		pinned++;
	}
	return (void *)pinned;
}

static void everything_at_once(void **state)
{
	pthread_t t[2];
	void *pinned;

	(void)state;
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, other_core, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = unit_random();
		uaddr_t at = base + (r & 7) * PAGE_SIZE, placed;
		uint64_t len = (1 + (r >> 8 & 3)) * PAGE_SIZE;

		len = min_of(len, base + PAGES * PAGE_SIZE - at);
		switch (r >> 16 & 3) {
		case 0:
			assert_int_equal(aspace_unmap(as, at, len), 0);
			assert_int_equal(aspace_map_anon(as, at, len, RW, ASPACE_FIXED, &placed),
					 0);
			break;
		case 1:
			assert_int_equal(aspace_protect(as, at, len, r >> 20 & RW), 0);
			break;
		case 2:
			assert_int_equal(aspace_discard(as, at, len), 0);
			break;
		case 3:
			assert_int_equal(aspace_map_anon(as, at, len, RW, ASPACE_FIXED, &placed),
					 0);
			break;
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(t[i], &pinned);
		assert_true(pinned); /* or nothing was tried */
	}
	assert_int_equal(aspace_unmap(as, base, PAGES * PAGE_SIZE), 0);
	/* no leaf outlived its region */
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(aspace_leaf(as, base + i * PAGE_SIZE), 0);
	assert_true(atomic_load(&as->resident) <= 2); /* tables */
}

#define cow_test(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cow_test(first_write_copies),
		cow_test(last_holder_writes_in_place),
		cow_test(protect_keeps_the_share),
		cow_test(pins_hold_what_was),
		cow_test(everything_at_once),
	};

	unit_kernel(64, 3, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
