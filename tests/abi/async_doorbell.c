/*
 * Is a poller that sleeps woken for entries that it does not know, and for nothing else? A program
 * that wakes again and again while an entry of its waits for somebody rings no doorbell; nor does
 * one whose answers always take long, since it waits in the kernel at once, which is as good.
 */
#include "lib/async_check.h"

#include "uapi/syscall.h"
#include "uapi/time.h"

#define NAPS 20
#define LEARNS 8 /* waits after which it knows how long answers take */

static int fds[2];

static int64_t waits(void *arg)
{
	char byte;

	(void)arg;
	return async_read(fds[0], &byte, 1);
}

/* An answer that takes long, to an entry that a sleeping poller does not know. */
static void ask(void)
{
	struct __kernel_timespec ts = { .tv_nsec = 2 * ASYNC_MS };
	uint64_t end = async_now_ns() + ASYNC_MS;

	while (async_now_ns() < end) /* it falls asleep */
		;
	CHECK_EQ(async_syscall(SYS_nanosleep, (uint64_t)(uintptr_t)&ts, 0, 0, 0, 0, 0), 0);
}

int main(void)
{
	struct async_co *co;
	uint64_t before;
	int64_t n;

	if (!ring_is_polled(&async_here()->ring))
		return 0; /* there a signal is how entries are submitted */
	CHECK_EQ(async_pipe(fds, 0), 0);
	CHECK((co = async_spawn(waits, NULL)) != NULL);
	CHECK_EQ(async_sleep(5 * ASYNC_MS), 0); /* the poller sleeps by now */
	before = async_stats()->signals;
	for (int i = 0; i < NAPS; i++)
		CHECK_EQ(async_sleep(ASYNC_MS), 0);
	CHECK_EQ(async_stats()->signals, before);
	CHECK_EQ(async_write(fds[1], "x", 1), 1); /* this it hears of */
	CHECK_EQ(async_join(co, &n), 0);
	CHECK_EQ(n, 1);
	for (int i = 0; i < LEARNS; i++)
		ask();
	before = async_stats()->signals;
	for (int i = 0; i < NAPS; i++)
		ask();
	/* the host may hold it up, so that an answer seems to have come at once */
	CHECK(async_stats()->signals - before <= NAPS / 2);
	return 0;
}
