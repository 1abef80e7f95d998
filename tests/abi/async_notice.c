/*
 * What if one coroutine computes for long while others wait for completions and timers? Told by
 * user interrupts or upcalls, those run at once, floating point and all of the computing one's
 * registers survive; and an idle program with user interrupts sleeps without a trap. A program that
 * did not ask still ends.
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#include "libasync/async.h"
#include "tests/abi/lib/async_check.h"

#define ALONE 300 /* a busy host takes 30 ms for each */

static volatile bool stop;
static uint64_t ticks, beats;
static bool told;

/* Uses many registers of both kinds, and notices when one changes. */
static int64_t compute(void *arg)
{
	uint64_t n = 0, sum = 0, end = async_now_ns() + 30 * ASYNC_S;
	double a = 1.5, b = 2.25, c = 0;

	(void)arg;
	while (!stop && (n % 4096 || async_now_ns() < end)) {
		n++;
		sum += n;
		c = a * (double)n + b;
		if (c != 1.5 * (double)n + 2.25 || sum != n * (n + 1) / 2)
			return -1;
		if (!told && n == 4096)
			stop = true; /* nobody would interrupt us */
	}
	return stop ? 0 : -2;
}

static int64_t ticker(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 20; i++) {
		async_sleep(ASYNC_MS);
		ticks++;
	}
	while (told && beats < 50) /* a slow host gives the kernel's hart little time */
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
	}
	return sum == 0.5 * (double)beats ? 0 : -1;
}

/* No timer helps it: each of its operations ends while somebody computes. */
static int64_t alone(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ALONE; i++)
		if (async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0))
			return -1;
	stop = true;
	return 0;
}

static void idle(void)
{
	uint64_t parks = async_stats()->parks, dozes = async_stats()->dozes;

	for (unsigned i = 0; i < 10; i++)
		async_sleep(ASYNC_MS);
	if (!told)
		return;
	if (ring_start_info->flags & SLUICE_START_UINTR)
		CHECK_EQ(async_stats()->parks, parks);
	CHECK(async_stats()->dozes > dozes);
}

int main(int argc, char **argv)
{
	const uint32_t flags = ring_start_info->flags;
	struct async_group group;

	(void)argc, (void)argv;
	told = async_notices() == 1;
	CHECK_EQ(told, flags & (SLUICE_START_UINTR | SLUICE_START_UPCALLS) &&
			       !(flags & SLUICE_START_MIXED));
	CHECK_EQ(async_preempt(1000), ASYNC_ON_LINUX ? -EOPNOTSUPP : -EINVAL);
	idle();
	async_group_init(&group);
	CHECK_EQ(async_group_spawn(&group, ticker, NULL), 0);
	CHECK_EQ(async_group_spawn(&group, beater, NULL), 0);
	/* its registers are unharmed, and it made way */
	CHECK_EQ(async_compute(compute, NULL), 0);
	if (told) {
		CHECK_EQ(ticks, 20);
		CHECK(beats >= 50);
		CHECK(async_stats()->preempts > 20);
	}
	CHECK_EQ(async_group_wait(&group), 0);
	stop = false;
	CHECK_EQ(async_group_spawn(&group, alone, NULL), 0);
	CHECK_EQ(async_compute(compute, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	idle();
	return 0;
}
