/*
 * What if coroutines compute without a word to the library, and the program asked for preemption?
 * Those that wait for completions and timers run meanwhile, two that compute share the core, the
 * more urgent one goes first, and the least urgent is not forgotten; registers of both kinds
 * survive, also where the library was interrupted; nobody is preempted where it said so. Whoever
 * asks again and again, answered while others make way for it, is woken each time.
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#define ASYNC_PREEMPT
#include "libasync/async.h"
#include "tests/abi/lib/async_check.h"

#define ALONE 300u /* a busy host takes 30 ms for each */

static volatile bool stop;
static volatile uint64_t shares[2], low;
static uint64_t ticks, beats, torn;

/* Uses many registers of both kinds, and notices when one changes. */
static int64_t compute(void *arg)
{
	volatile uint64_t *share = arg;
	uint64_t n = 0, sum = 0, end = async_now_ns() + 30 * ASYNC_S;
	double a = 1.5, b = 2.25, c = 0;

	while (!stop && (n % 4096 || async_now_ns() < end)) {
		n++;
		sum += n;
		c = a * (double)n + b;
		if (c != 1.5 * (double)n + 2.25 || sum != n * (n + 1) / 2)
			return -1;
		*share = n;
	}
	return stop ? 0 : -2;
}

/* Does what a switch in between would tear apart, and calls into the library very often. */
static int64_t pair(void *arg)
{
	static volatile uint64_t one, two;
	uint64_t end = async_now_ns() + 30 * ASYNC_S;

	(void)arg;
	while (!stop && async_now_ns() < end) {
		async_no_preempt_begin();
		torn += one != two;
		one = one + 1;
		for (volatile unsigned i = 0; i < 50; i++)
			;
		two = two + 1;
		async_no_preempt_end();
		if (one % 4 == 0)
			async_yield();
	}
	return 0;
}

static int64_t ticker(void *arg)
{
	(void)arg;
	for (ticks = 0; ticks < 20; ticks++)
		async_sleep(ASYNC_MS);
	while (beats < 50 || !shares[0] || !shares[1] || !low)
		async_sleep(ASYNC_MS);
	stop = true;
	return 0;
}

/* Completions of the kernel's: each clock_gettime is one. */
static int64_t beater(void *arg)
{
	struct __kernel_timespec ts;
	double sum = 0;

	(void)arg;
	while (!stop) {
		if (async_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (uint64_t)(uintptr_t)&ts, 0,
				  0, 0, 0))
			return -1;
		sum += 0.5;
		beats++;
		async_sleep(ASYNC_MS / 5);
	}
	return sum == 0.5 * (double)beats ? 0 : -1;
}

/* Each of its operations is answered about when it has made way again. */
static int64_t alone(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ALONE; i++)
		if (async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0))
			return -1;
	stop = true;
	return 0;
}

/* Hears the other's answer before the computing one goes on. */
static int64_t yielder(void *arg)
{
	(void)arg;
	while (!stop) {
		if (async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0))
			return -1;
		async_yield();
	}
	return 0;
}

static int64_t watcher(void *arg)
{
	(void)arg;
	for (ticks = 0; !stop; ticks++)
		async_sleep(ASYNC_MS);
	return 0;
}

static int64_t urgent(void *arg)
{
	int64_t (*fn)(void *) = (int64_t (*)(void *))(uintptr_t)arg;

	CHECK_EQ(async_set_priority(1), 0);
	return fn(NULL);
}

static int64_t unhurried(void *arg)
{
	CHECK_EQ(async_set_priority(7), 0);
	async_yield();
	return compute(arg);
}

int main(int argc, char **argv)
{
	struct async_group group;
	int err = async_preempt(2000);

	(void)argc, (void)argv;
	if (ASYNC_ON_LINUX) {
		CHECK_EQ(err, -EOPNOTSUPP);
		return 0;
	}
	CHECK_EQ(err, 0);
	CHECK_EQ(async_preempt(2000), -EBUSY);
	async_group_init(&group);
	CHECK_EQ(async_group_spawn(&group, compute, (void *)(uintptr_t)&shares[0]), 0);
	CHECK_EQ(async_group_spawn(&group, compute, (void *)(uintptr_t)&shares[1]), 0);
	CHECK_EQ(async_group_spawn(&group, unhurried, (void *)(uintptr_t)&low), 0);
	CHECK_EQ(async_group_spawn(&group, pair, NULL), 0);
	CHECK_EQ(async_group_spawn(&group, pair, NULL), 0);
	CHECK_EQ(async_group_spawn(&group, urgent, (void *)(uintptr_t)ticker), 0);
	CHECK_EQ(async_group_spawn(&group, beater, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK(stop);
	CHECK_EQ(ticks, 20);
	CHECK_EQ(torn, 0);
	CHECK(async_stats()->preempts > 20);
	stop = false;
	CHECK_EQ(async_group_spawn(&group, compute, (void *)(uintptr_t)&shares[0]), 0);
	CHECK_EQ(async_group_spawn(&group, watcher, NULL), 0);
	CHECK_EQ(async_group_spawn(&group, alone, NULL), 0);
	CHECK_EQ(async_group_spawn(&group, yielder, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(async_sleep(ASYNC_MS), 0);
	return 0;
}
