/*
 * Are boot arguments split as written, and is every malformed line refused as a whole?
 * (kernel/base/cmdline.c)
 */
#include "lib/unit.h"

#include "base/cmdline.h"
#include "uapi/errno.h"

/* Do blanks split, quotes hold together, and the last of two equal keys count? */
static void splits(void **state)
{
	(void)state;
	assert_int_equal(cmdline_init("  a=1 \tb=\"two words; =x\"\nc=\"\" d=  a=0x1F "), 0);
	assert_string_equal(cmdline_find("a"), "0x1F");
	assert_string_equal(cmdline_find("b"), "two words; =x");
	assert_string_equal(cmdline_find("c"), "");
	assert_string_equal(cmdline_find("d"), "");
	assert_null(cmdline_find("e"));
	assert_null(cmdline_find(""));
}

/* Is an empty line, or none, a line without arguments? */
static void empty(void **state)
{
	(void)state;
	assert_int_equal(cmdline_init(""), 0);
	assert_null(cmdline_find("a"));
	assert_int_equal(cmdline_init(NULL), 0);
	assert_int_equal(cmdline_init(" \t "), 0);
}

/* Are numbers read in both bases to the last bit, and nonsense taken as absent? */
static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} rows[] = {
		{ "n=0", 0 },
		{ "n=18446744073709551615", UINT64_MAX },
		{ "n=0xffffFFFFffffFFFF", UINT64_MAX },
		{ "n=0X10", 16 },
		{ "n=18446744073709551616", 77 },
		{ "n=0x10000000000000000", 77 },
		{ "n=", 77 },
		{ "n=0x", 77 },
		{ "n=12a", 77 },
		{ "n=-1", 77 },
		{ "n=\"1 2\"", 77 },
		{ "m=1", 77 },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		assert_int_equal(cmdline_init(rows[i].text), 0);
		assert_int_equal(cmdline_find_u64("n", 77), rows[i].value);
	}
}

/* Does a refused line leave nothing behind of itself or of its predecessor? */
static void refused(void **state)
{
	static const char *const lines[] = {
		"a=1 b", "=1", "a=\"open", "a=\"x\"y", "a=1 =", "word"
	};
	char lines_too_long[CMDLINE_MAX + 8];

	(void)state;
	for (size_t i = 0; i < array_count(lines); i++) {
		assert_int_equal(cmdline_init("a=before"), 0);
		assert_int_equal(cmdline_init(lines[i]), -EINVAL);
		assert_null(cmdline_find("a"));
	}
	memset(lines_too_long, 'x', sizeof(lines_too_long));
	memcpy(lines_too_long, "a=", 2);
	lines_too_long[CMDLINE_MAX] = 0;
	assert_int_equal(cmdline_init(lines_too_long), -EINVAL);
	lines_too_long[CMDLINE_MAX - 1] = 0;
	assert_int_equal(cmdline_init(lines_too_long), 0);
	assert_int_equal(strlen(cmdline_find("a")), CMDLINE_MAX - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits),
		cmocka_unit_test(empty),
		cmocka_unit_test(numbers),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
