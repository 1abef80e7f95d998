/*
 * What if a program exits, faults or falls silent with its ring full of operations in flight? All
 * of them end, nothing leaks.
 *
 * also: exit
 * ends: exit status 7
 * also: fault
 * ends: killed by signal 11
 * also: tail
 * ends: exit status 9
 */
#include "tests/abi/lib/say.h"
#include "uapi/time.h"

static struct __kernel_timespec hour = { 3600, 0 };
static volatile int *volatile nowhere = (volatile int *)16;

static void sleepers(struct ring *ring, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct io_uring_sqe *sqe;

		while (!(sqe = ring_sqe(ring)))
			ring_submit(ring);
		if (i & 1)
			ring_fill_syscall(sqe, SYS_nanosleep, (uint64_t)(uintptr_t)&hour, 0, 0, 0,
					  0, 0, i);
		else
			ring_fill(sqe, IORING_OP_TIMEOUT, -1, 0, (uint64_t)(uintptr_t)&hour, 1, 0,
				  i);
	}
	ring_submit(ring);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct __kernel_timespec pause = { 0, 300000000 };

	if (argc > 1) {
		sleepers(ring, 1000);
		switch (argv[1][0]) {
		case 'e':
			return 7;
		case 'f':
			nowhere[0] = 1;
			return 3;
		default: /* a tail that runs away, on a ring that nobody empties any more */
			__atomic_store_n(ring->sq_tail, ring->sq_next + 100000, __ATOMIC_RELEASE);
			ring_exit(ring, 9);
		}
	}
	say_is("a neighbour sleeps well",
	       ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0, 0), 0);
	return say_verdict();
}
