/*
 * Are the random bytes what ChaCha20 says, and never the same twice?
 */
#include "lib/unit.h"

#include "drivers/random.c"

/* RFC 8439, appendix A.1, test vectors 1 and 2: key and nonce zero, block counters 0 and 1. */
static void chacha_is_as_specified(void **state)
{
	static const unsigned char block_0[16] = { 0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
						   0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28 };
	static const unsigned char block_1[16] = { 0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a,
						   0x98, 0xba, 0x97, 0x7c, 0x73, 0x2d, 0x08, 0x0d };
	/* test vector 3: key 0...01, counter 1 */
	static const unsigned char block_key[16] = {
		0x3a, 0xeb, 0x52, 0x24, 0xec, 0xf8, 0x49, 0x92,
		0x9b, 0x9d, 0x82, 0x8d, 0xb1, 0xce, 0xd4, 0xdd
	};
	uint32_t key[KEY_WORDS] = { 0 }, out[16];

	(void)state;
	chacha_block(key, 0, out);
	assert_memory_equal(out, block_0, sizeof(block_0));
	chacha_block(key, 1, out);
	assert_memory_equal(out, block_1, sizeof(block_1));
	key[7] = 0x01000000;
	chacha_block(key, 1, out);
	assert_memory_equal(out, block_key, sizeof(block_key));
}

/* Do calls differ, do cores differ, and does feeding the pool change what follows? */
static void nothing_repeats(void **state)
{
	unsigned char seen[64][32];
	unsigned n = 0;

	(void)state;
	for (; n < 60; n++) {
		if (n == 20)
			unit_be_core(1);
		if (n == 40)
			random_add("known", 5);
		random_bytes(seen[n], sizeof(seen[n]));
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], sizeof(seen[i]));
	unit_be_core(0);
}

/* Are all bits of a long piece used about equally, whatever its length and place? */
static void bits_are_even(void **state)
{
	static unsigned char bytes[100001];
	unsigned ones = 0;

	(void)state;
	random_bytes(bytes + 1, sizeof(bytes) - 1);
	for (unsigned i = 1; i < sizeof(bytes); i++)
		ones += (unsigned)__builtin_popcount(bytes[i]);
	assert_in_range(ones, 397500, 402500); /* five standard deviations and more */
}

/* Is a source asked again after a mebibyte, and only then? */
static void grows_hungry(void **state)
{
	static unsigned char bytes[65536];

	(void)state;
	random_add("x", 1);
	assert_false(random_is_hungry());
	for (unsigned i = 0; i < 17; i++)
		random_bytes(bytes, sizeof(bytes));
	assert_true(random_is_hungry());
	random_add("x", 1);
	assert_false(random_is_hungry());
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 2, "map=0:kernel+io+net,1:user");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chacha_is_as_specified),
		cmocka_unit_test(nothing_repeats),
		cmocka_unit_test(bits_are_even),
		cmocka_unit_test(grows_hungry),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
