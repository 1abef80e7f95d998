/*
 * Is the wide checksum the one RFC 1071 describes, at every alignment and length, and does copying
 * with it copy? (kernel/net/chksum.c)
 */
#include "unit/lib/unit.h"

#include "net/lwip/arch/cc.h"

/* RFC 1071, section 4.1, as written there: 16-bit words in the order of memory. */
static uint16_t reference(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)p[0] | (uint32_t)p[1] << 8;
	if (n)
		sum += p[0];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* 0 and 0xffff are the same number in ones' complement. */
static uint16_t canonical(uint16_t v)
{
	return v == 0xffff ? 0 : v;
}

static void fill(uint8_t *p, size_t n, unsigned kind)
{
	for (size_t i = 0; i < n; i++)
		p[i] = kind == 0 ? 0xff : kind == 1 ? 0 : (uint8_t)rand();
}

static void test_sum(void **state)
{
	static uint8_t buf[4096] __attribute__((aligned(8)));

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned at = 0; at < 16; at++)
			for (unsigned n = 0; n < 300; n++) {
				fill(buf, sizeof(buf), kind);
				assert_int_equal(canonical(net_chksum(buf + at, (int)n)),
						 canonical(reference(buf + at, n)));
			}
	fill(buf, sizeof(buf), 2);
	assert_int_equal(canonical(net_chksum(buf + 1, 4095)), canonical(reference(buf + 1, 4095)));
}

static void test_copy(void **state)
{
	static uint8_t from[2048] __attribute__((aligned(8))), to[2048] __attribute__((aligned(8)));

	(void)state;
	for (unsigned a = 0; a < 8; a++)
		for (unsigned b = 0; b < 8; b++)
			for (unsigned n = 0; n < 200; n++) {
				uint16_t sum;

				fill(from, sizeof(from), 2);
				memset(to, 0x5a, sizeof(to));
				sum = net_chksum_copy(to + a, from + b, (uint16_t)n);
				assert_int_equal(canonical(sum), canonical(reference(from + b, n)));
				assert_memory_equal(to + a, from + b, n);
				for (unsigned i = 0; i < a; i++)
					assert_int_equal(to[i], 0x5a);
				for (unsigned i = a + n; i < a + n + 16; i++)
					assert_int_equal(to[i], 0x5a);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
