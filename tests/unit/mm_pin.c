/*
 * Does a pin prove exactly what it says, and hold it whatever the program does? (kernel/mm/pin.c)
 */
#include "lib/unit.h"

#include "mm/aspace.h"
#include "mm/frames.h"
#include "mm/pin.h"
#include "uapi/errno.h"

#define RW (ACCESS_READ | ACCESS_WRITE)

static struct aspace *as;
static uaddr_t base; /* 40 pages RW, then a hole */

static int before(void **state)
{
	unit_frames_before(state);
	as = aspace_create();
	return as && !aspace_map_anon(as, 0, 40 * PAGE_SIZE, RW, 0, &base) ? 0 : -1;
}

static int after(void **state)
{
	aspace_put(as);
	return unit_frames_after(state);
}

/* How many bytes does a pin cover at each offset, at the end of the mapping, and past it? */
static void lengths(void **state)
{
	static const struct {
		uint64_t off, len;
		int64_t want;
	} rows[] = {
		{ 0, 1, 1 },
		{ 0, 4096, 4096 },
		{ 1, 4096, 4096 },
		{ 4095, 2, 2 },
		{ 0, 65536, 65536 },
		{ 0, 65537, 65536 },
		{ 100, 65536, 65536 },
		{ 39 * PAGE_SIZE, 8192, 4096 },
		{ 38 * PAGE_SIZE + 5, 65536, 8187 },
		{ 40 * PAGE_SIZE, 1, -EFAULT },
		{ 5, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		struct pin pin;
		int64_t n = pin_user(as, base + rows[i].off, rows[i].len, ACCESS_WRITE, &pin);

		assert_int_equal(n, rows[i].want);
		if (n >= 0) {
			assert_int_equal(pin.len, n);
			pin_release(&pin);
		}
	}
}

/* Do addresses that wrap, or belong to the kernel, fail like any other that is not mapped? */
static void bad_claims(void **state)
{
	static const uint64_t claims[] = { 0, UINT64_MAX, UINT64_MAX - 4095, 1ull << 63,
					   HOSTED_DIRECT + HOSTED_RAM_BASE };

	(void)state;
	for (size_t i = 0; i < array_count(claims); i++) {
		struct pin pin;
		char byte;

		assert_int_equal(pin_user(as, claims[i], 8192, ACCESS_READ, &pin), -EFAULT);
		assert_int_equal(user_read(as, claims[i], &byte, 1), -EFAULT);
		assert_int_equal(user_write(as, claims[i], &byte, 1), -EFAULT);
	}
	assert_int_equal(aspace_protect(as, base, PAGE_SIZE, ACCESS_READ), 0);
	for (uint32_t access = ACCESS_READ; access <= ACCESS_WRITE; access <<= 1) {
		struct pin pin;
		int64_t n = pin_user(as, base, 10, access, &pin);

		assert_int_equal(n, access == ACCESS_READ ? 10 : -EFAULT);
		if (n > 0)
			pin_release(&pin);
	}
}

/* Are bytes copied through a pin the program's bytes, across pages and at odd offsets? */
static void copies(void **state)
{
	static uint8_t in[65536], out[65536];
	uint8_t marks[10];
	struct pin pin;

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)unit_random();
	assert_int_equal(pin_user(as, base + 123, sizeof(in), RW, &pin), sizeof(in));
	pin_copy_out(&pin, 0, in, sizeof(in));
	assert_true(unit_program_reads(base + 123, out, sizeof(out)));
	assert_memory_equal(out, in, sizeof(in));
	memset(marks, 0x77, sizeof(marks));
	memset(in + 5000, 0x77, sizeof(marks));
	assert_true(unit_program_writes(base + 123 + 5000, marks, sizeof(marks)));
	pin_copy_in(&pin, 1, out, sizeof(out) - 1);
	assert_memory_equal(out, in + 1, sizeof(out) - 1);
	for (uint32_t off = 0; off < pin.len;) {
		uint32_t run;
		const uint8_t *view = pin_view(&pin, off, &run);

		assert_true(run > 0 && off + run <= pin.len);
		assert_memory_equal(view, in + off, run);
		off += run;
	}
	pin_release(&pin);
}

/* Do frames under a pin survive unmap, and the address space itself? */
static void outlives(void **state)
{
	struct pin pin;
	uint64_t free_mapped;
	uint8_t byte;

	(void)state;
	assert_int_equal(pin_user(as, base, 3 * PAGE_SIZE, ACCESS_WRITE, &pin), 3 * PAGE_SIZE);
	free_mapped = frames_free_count();
	assert_int_equal(aspace_unmap(as, base, 40 * PAGE_SIZE), 0);
	assert_int_equal(frames_free_count(), free_mapped);
	byte = 9;
	pin_copy_out(&pin, 2 * PAGE_SIZE, &byte, 1);
	aspace_put(as);
	byte = 0;
	pin_copy_in(&pin, 2 * PAGE_SIZE, &byte, 1);
	assert_int_equal(byte, 9);
	pin_release(&pin);
	as = aspace_create();
	assert_non_null(as);
}

/* Is a string read to its end, up to the hole behind it, and no further than the buffer? */
static void strings(void **state)
{
	char buf[64];
	uaddr_t end = base + 40 * PAGE_SIZE;

	(void)state;
	assert_int_equal(user_write(as, end - 6, "hello", 6), 0);
	assert_int_equal(user_read_string(as, end - 6, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(user_write(as, end - 1, "x", 1), 0);
	assert_int_equal(user_read_string(as, end - 6, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(user_read_string(as, end - 6, buf, 6), -ENAMETOOLONG);
	assert_int_equal(user_write(as, base + PAGE_SIZE - 3, "abcdef", 7), 0);
	assert_int_equal(user_read_string(as, base + PAGE_SIZE - 3, buf, 7), 6);
	assert_string_equal(buf, "abcdef");
}

#define pin_test(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		pin_test(lengths),  pin_test(bad_claims), pin_test(copies),
		pin_test(outlives), pin_test(strings),
	};

	unit_kernel(64, 1, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
