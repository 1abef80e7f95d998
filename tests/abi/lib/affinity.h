/*
 * affinity: what the tests of CPU affinity share. They run in split.conf, whose programs have cores
 * 2 and 3.
 */
#ifndef TESTS_ABI_AFFINITY_H
#define TESTS_ABI_AFFINITY_H

#include "tests/abi/lib/say.h"

#define LOOKS 3000u
#define LOOKS_MAX 200000u

static inline int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, const void *a2)
{
	return ring_syscall(&ring_native, nr, a0, a1, (uint64_t)(uintptr_t)a2, 0, 0, 0);
}

static inline int64_t allow(uint64_t mask)
{
	return call(SYS_sched_setaffinity, 0, sizeof(mask), &mask);
}

static inline uint32_t where(void)
{
	uint32_t core = ~0u, node = ~0u;
	int64_t got =
		call(SYS_getcpu, (uint64_t)(uintptr_t)&core, (uint64_t)(uintptr_t)&node, NULL);

	return got || node ? ~0u : core;
}

/* Until it is on `core`; how many looks that took. */
static inline uint32_t wait_for(uint32_t core)
{
	uint32_t looks = 0;

	while (where() != core && looks < LOOKS_MAX)
		looks++;
	return looks;
}

static inline uint32_t strays(uint32_t core)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < LOOKS; i++)
		n += where() != core;
	return n;
}

#endif
