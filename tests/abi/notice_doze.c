/*
 * What if a receiver waits in `wfi` while its hart's other program is ready, so that the kernel has
 * parked it, the hart then finds nothing to do, and sleeps at once, without looking for a while
 * first? A completion that is a store into the receiver's mailbox wakes it all the same: here
 * nothing else will.
 *
 * map: smp2.conf
 * env: SLUICE_UINTR=1
 * boot: spin_us=0
 */
#include "tests/abi/lib/async_check.h"

#include <string.h>

#define SELF "/bin/t_notice_doze"
#define ROUNDS 100

static void pause(long us)
{
	struct __kernel_timespec t = { .tv_nsec = us * 1000 };

	/* the kernel's clock, whose end is a completion; not the library's */
	CHECK_EQ(async_syscall(SYS_nanosleep, (uint64_t)(uintptr_t)&t, 0, 0, 0, 0, 0), 0);
}

/* Waits in the kernel; ready for a moment while the parent waits in its own mode. */
static int child(void)
{
	char byte;

	while (async_read(0, &byte, 1) == 1)
		pause(300);
	return 0;
}

int main(int argc, char **argv)
{
	const char *const words[] = { SELF, "child", NULL };
	int to[2], pid, status = -1;

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child();
	CHECK(async_notices() >= 0);
	CHECK_EQ(async_pipe(to, 0), 0);
	pid = async_program_start(SELF, words, NULL, (int32_t[]){ to[0], 1, 2 }, 3);
	CHECK(pid > 0);
	CHECK_EQ(async_close(to[0]), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		CHECK_EQ(async_write(to[1], "x", 1), 1);
		pause(1500);
	}
	CHECK_EQ(async_close(to[1]), 0);
	CHECK_EQ(async_program_wait(pid, &status), 0);
	CHECK_EQ(status, 0);
	if (ring_start_info->flags & SLUICE_START_UINTR)
		CHECK(async_stats()->dozes >= ROUNDS);
	return 0;
}
