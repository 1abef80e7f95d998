/*
 * b_wakeup ROUNDS LOOPS: how soon does a coroutine run when its completion comes while another one
 * computes? The main coroutine computes LOOPS loops of two instructions; meanwhile another one does
 * ROUNDS NOPs, each of which interrupts the computation. What the program executed beyond its
 * loops, per NOP, holds the way there, the operation, and the way back. preempt.c is the same for a
 * computation that says nothing to the library.
 */
#include "libasync/async.h"
#include "libasync/notice.h"
#include "lib/guest.h"

#ifdef ASYNC_PREEMPT
#define WAKEUP_BEGIN() async_preempt(10000)
#else
#define WAKEUP_BEGIN() (async_notices() != 1)
#endif

static uint64_t rounds, loops, done_inside, done;
static volatile bool inside;

static int64_t compute(void *arg)
{
	uint64_t n = loops;

	(void)arg;
	inside = true;
	do
		__asm__ volatile("" : "+r"(n));
	while (--n);
	inside = false;
	return 0;
}

static int64_t operations(void *arg)
{
	(void)arg;
	for (done = 0; done < rounds; done++) {
		if (async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0))
			return -1;
		done_inside += inside;
	}
	return 0;
}

static void window(uint64_t n)
{
	uint64_t preempts = async_stats()->preempts, ticks = notice_counts[0];
	struct async_group group;

	rounds = n;
	done_inside = 0;
	async_group_init(&group);
	if (n && async_group_spawn(&group, operations, NULL))
		async_exit(1);
	ASYNC_MARK(GUEST_MARK_BEGIN);
#ifdef ASYNC_PREEMPT
	compute(NULL);
#else
	async_compute(compute, NULL);
#endif
	ASYNC_MARK(GUEST_MARK_END);
	async_printf("bench: wakeup=%llu inside=%llu preempts=%llu ticks=%llu\n",
		     (unsigned long long)n, (unsigned long long)done_inside,
		     (unsigned long long)(async_stats()->preempts - preempts),
		     (unsigned long long)(notice_counts[0] - ticks));
	if (async_group_wait(&group))
		async_exit(1);
}

int main(int argc, char **argv)
{
	uint64_t n;

	if (argc != 3 || WAKEUP_BEGIN())
		return 1;
	for (const char *d = argv[1]; *d; d++)
		rounds = rounds * 10 + (uint64_t)(*d - '0');
	for (const char *d = argv[2]; *d; d++)
		loops = loops * 10 + (uint64_t)(*d - '0');
	n = rounds;
	window(0);
	window(n);
	return 0;
}
