/*
 * What if a program ends with an open link before its exit: one that fails, one that waits for an
 * hour? What if something impossible is found just then? The process ends all the same.
 *
 * also: wait
 * ends: exit status 7
 * also: die
 * ends: exit status 127
 */
#include "tests/abi/lib/say.h"
#include "uapi/time.h"

int ring_main(struct ring *ring, int argc, char **argv)
{
	static struct __kernel_timespec hour = { 3600, 0 };
	struct io_uring_sqe *sqe = ring_sqe(ring);
	char how = argc > 1 ? argv[1][0] : 'f';

	if (how == 'w')
		ring_fill(sqe, IORING_OP_TIMEOUT, -1, 0, (uint64_t)(uintptr_t)&hour, 1, 0, 1);
	else
		ring_fill(sqe, IORING_OP_READ, 1234, 0, (uint64_t)(uintptr_t)&hour, 8, 0, 1);
	sqe->flags = IOSQE_IO_LINK;
	if (how == 'd')
		ring_die(ring, "as it should\n");
	return how == 'w' ? 7 : 0;
}
