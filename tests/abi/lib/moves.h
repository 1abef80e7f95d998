/*
 * moves: what tests of moving threads share: how often threads have moved so far.
 */
#ifndef TESTS_ABI_MOVES_H
#define TESTS_ABI_MOVES_H

#include "tests/abi/lib/say.h"
#include "uapi/fs.h"

/* Of all programs, since boot; -1: the kernel does not say. */
static inline int64_t moves_so_far(void)
{
	static const char path[] = "/dev/counters", name[] = "thread_moves ";
	static char text[4096];
	int64_t fd, n, sum = -1;

	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0, (uint64_t)(uintptr_t)path,
		  0, O_RDONLY, 0);
	fd = say_wait();
	if (fd < 0)
		return -1;
	ring_fill(ring_sqe(&ring_native), IORING_OP_READ, (int)fd, 0, (uint64_t)(uintptr_t)text,
		  sizeof(text) - 1, 0, 0);
	n = say_wait();
	ring_fill(ring_sqe(&ring_native), IORING_OP_CLOSE, (int)fd, 0, 0, 0, 0, 0);
	say_wait();
	for (int64_t at = 0; at < n; at++) {
		int64_t k = 0;

		while (name[k] && at + k < n && text[at + k] == name[k])
			k++;
		if (name[k])
			continue;
		for (sum = 0, at += k; at < n && text[at] != '\n'; at++)
			sum = sum * 10 + text[at] - '0';
	}
	return sum;
}

#endif
