/*
 * call (Linux): a system call by Sluice's number, made on the spot.
 *
 * uapi/syscall.h holds the generic numbers, which are riscv64's own. On x86-64 they are translated
 * by a table that the build makes of that header (number.h). Left out, and answered with -ENOSYS,
 * is what passes a structure that the two machines lay out differently (stat, epoll_event, the ipc
 * controls), or cannot be called from C (clone, signal handlers).
 */
#include <time.h>

#include "libasync/internal.h"
#include "start.h"

#ifdef __x86_64__
#include <asm/unistd.h>

/* One more than the number here, since read is 0. */
static const uint16_t call_numbers[SYS_NUMBERS] = {
#include "linux/number.h"
};

int64_t async_linux_call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4, uint64_t a5)
{
	if (nr >= SYS_NUMBERS || !call_numbers[nr])
		return -ENOSYS;
	return async_door(0, call_numbers[nr] - 1, a0, a1, a2, a3, a4, a5);
}
#else
int64_t async_linux_call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4, uint64_t a5)
{
	return async_door(0, nr, a0, a1, a2, a3, a4, a5);
}
#endif

/* An answer other than 0 needs a kernel whose NOP can give one (6.10). An older one is handed the
 * entry's own opcode, and refuses it with -EINVAL. */
void async_linux_fill(struct io_uring_sqe *sqe, int64_t result, uint64_t user_data)
{
	int32_t res = result == (int32_t)result ? (int32_t)result : -EOVERFLOW;

	if (res == 0)
		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, user_data);
	else if (async_linux_nop_answers)
		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, (uint32_t)res, IORING_NOP_INJECT_RESULT,
			  user_data);
	else
		ring_fill(sqe, IORING_OP_SYSCALL, -1, 0, 0, 0, 0, user_data);
}

uint64_t async_linux_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * ASYNC_S + (uint64_t)ts.tv_nsec;
}
