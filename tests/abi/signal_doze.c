/*
 * What if the receiver of a signal waits in `wfi` of its own, for nothing that would come within an
 * hour, and the kernel has parked it since its hart's other program is ready? Its handler runs all
 * the same, at once: nothing but that ends the program.
 *
 * map: smp2.conf
 * env: SLUICE_UINTR=1
 * boot: spin_us=0
 */
#include "tests/abi/lib/async_check.h"

#include <string.h>

#include "uapi/signal.h"

#define SELF "/bin/t_signal_doze"
#define USR1 10u

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return async_syscall(nr, a0, a1, a2, a3, 0, 0);
}

/* Ready for a moment now and then, and sends in between, until nobody is there. */
static int child(void)
{
	struct __kernel_timespec t = { .tv_nsec = 2000000 };
	int64_t parent = 1; /* the first program of the machine */

	do
		CHECK_EQ(call(SYS_nanosleep, (uint64_t)(uintptr_t)&t, 0, 0, 0), 0);
	while (!call(SYS_kill, (uint64_t)parent, USR1, 0, 0));
	return 0;
}

static volatile int came;

/* By the trap door: the library is in the middle of something. */
static void handler(int signo)
{
	(void)signo;
	if (++came < 20)
		return;
#ifdef __riscv
	register uint64_t a0 __asm__("a0") = 0;
	register uint64_t a7 __asm__("a7") = SYS_exit_group;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
#endif
}

int main(int argc, char **argv)
{
	const char *const words[] = { SELF, "child", NULL };
	struct sigaction_in act = { .handler = (uint64_t)(uintptr_t)handler };

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child();
	if (call(SYS_rt_sigaction, USR1, (uint64_t)(uintptr_t)&act, 0, 8) == -ENOSYS)
		return 0; /* a machine without signals */
	CHECK(async_notices() >= 0);
	CHECK_EQ(call(SYS_getpid, 0, 0, 0, 0), 1);
	CHECK(async_program_start(SELF, words, NULL, (int32_t[]){ 0, 1, 2 }, 3) > 0);
	async_sleep(3600 * ASYNC_S);
	return 1;
}
