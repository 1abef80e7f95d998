/*
 * b_moves WHAT LOOPS [stay]: what does it cost to move a thread to another core? The program
 * computes while the kernel moves it (boot argument shuffle_us=); with `stay` it may only be where
 * it is, so that the same ticks come and nothing moves. WHAT: `int`, or `fp`, which has dirty FP
 * registers at every moment. With SLUICE_UINTR=1 it receives notices, too.
 */
#include "libasync/notice.h"
#include "lib/guest.h"
#include "uapi/fs.h"

static struct ring *ring;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static uint64_t moves_so_far(void)
{
	static const char path[] = "/dev/counters", name[] = "thread_moves ";
	static char text[8192];
	int64_t fd = ring_syscall(ring, SYS_openat, (uint64_t)AT_FDCWD, at(path), O_RDONLY, 0, 0,
				  0);
	int64_t n = ring_syscall(ring, SYS_read, (uint64_t)fd, at(text), sizeof(text) - 1, 0, 0, 0);

	ring_syscall(ring, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
	for (int64_t i = 0; i < n; i++) {
		uint64_t sum = 0;
		int64_t k = 0;

		while (name[k] && text[i + k] == name[k])
			k++;
		if (name[k])
			continue;
		for (i += k; text[i] >= '0' && text[i] <= '9'; i++)
			sum = sum * 10 + (uint64_t)(text[i] - '0');
		return sum;
	}
	ring_die(ring, "b_moves: the kernel does not count moves\n");
}

static void stay(void)
{
	uint64_t mask = 1ull << ring_start_info->core;

	if (ring_syscall(ring, SYS_sched_setaffinity, 0, sizeof(mask), at(&mask), 0, 0, 0) < 0)
		ring_die(ring, "b_moves: it may not stay\n");
}

static void compute(uint64_t loops, bool fp)
{
	volatile double sum = 0;

	if (!fp)
		for (volatile uint64_t i = 0; i < loops; i++)
			;
	else
		for (uint64_t i = 0; i < loops; i++)
			sum = sum + 1;
}

int ring_main(struct ring *native, int argc, char **argv)
{
	uint64_t loops, before, moves;
	bool fp;

	ring = native;
	if (argc < 3)
		ring_die(ring, "b_moves: int or fp, and how long?\n");
	fp = argv[1][0] == 'f';
	loops = guest_number(ring, argv[2]);
	if ((ring_start_info->flags & SLUICE_START_UINTR) &&
	    notice_start(ring) != SLUICE_NOTICE_DIRECT)
		ring_die(ring, "b_moves: no user interrupts\n");
	if (argc > 3)
		stay();
	before = moves_so_far();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	compute(loops, fp);
	ASYNC_MARK(GUEST_MARK_END);
	moves = moves_so_far() - before;
	guest_say(ring, "bench: moves=%llu loops=%llu\n", (unsigned long long)moves,
		  (unsigned long long)loops);
	return 0;
}
