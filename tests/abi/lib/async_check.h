/*
 * async_check: how a test program on libasync says that something is not so: one line, status 1.
 */
#ifndef TESTS_ABI_ASYNC_CHECK_H
#define TESTS_ABI_ASYNC_CHECK_H

#include "libasync/async.h"

/* Said even by a coroutine that was told to stop. */
#define CHECK_FAIL(...)                                                                           \
	do {                                                                                      \
		struct async_scope check_shield;                                                  \
		async_shield_begin(&check_shield);                                                \
		async_printf(__VA_ARGS__);                                                        \
		async_exit(1);                                                                    \
	} while (0)

#define CHECK(what)                                                                               \
	do {                                                                                      \
		if (!(what))                                                                      \
			CHECK_FAIL("FAIL %s:%d: %s\n", __FILE__, __LINE__, #what);                \
	} while (0)

/* Two numbers that should be equal; both are printed when they are not. */
#define CHECK_EQ(a, b)                                                                            \
	do {                                                                                      \
		long long a_ = (long long)(a), b_ = (long long)(b);                               \
		if (a_ != b_)                                                                     \
			CHECK_FAIL("FAIL %s:%d: %s is %lld, not %s (%lld)\n", __FILE__, __LINE__, \
				   #a, a_, #b, b_);                                               \
	} while (0)

/* The port to use: `otherwise`, or that of the first argument. On Linux the runner names one that
 * is free, with the one above it. */
static inline uint16_t check_port(int argc, char **argv, uint16_t otherwise)
{
	uint32_t port = 0;

	for (const char *digit = argc > 1 ? argv[1] : ""; *digit; digit++)
		port = port * 10 + (uint32_t)(*digit - '0');
	return argc > 1 ? (uint16_t)port : otherwise;
}

#endif
