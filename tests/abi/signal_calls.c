/*
 * Do signals reach a program on rings, too, if it asks for them: a child's end, a handler while it
 * waits in enter and while it computes; and does every number refuse what it must? On machines
 * without signals each answers -ENOSYS.
 */
#include "tests/abi/lib/text.h"
#include "uapi/signal.h"
#include "uapi/time.h"
#include "uapi/wait.h"

#define SELF "/bin/t_signal_calls"
#define USR1 10u

static volatile int came;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, 0, 0);
}

static void handler(int signo)
{
	came += signo == USR1;
}

static int64_t spawn(const char *word)
{
	const char *argv[] = { SELF, word, NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.path = at(SELF),
		.argv = at(argv),
		.user_core = SLUICE_ANY_CORE,
		.home = SLUICE_ANY_CORE,
	};

	ring_fill(ring_sqe(&ring_native), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	return say_wait();
}

static int64_t wait_for(int64_t pid, struct wait_info *info)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_WAITID, (int)pid, at(info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	return say_wait();
}

/* Sends USR1 to process `pid` until that one is gone, or ends it. */
static int sender(uint64_t pid)
{
	struct __kernel_timespec nap = { .tv_nsec = 1000000 };

	while (!call(SYS_kill, pid, USR1, 0, 0))
		call(SYS_nanosleep, at(&nap), 0, 0, 0);
	return 0;
}

static void child_ends(void)
{
	uint64_t set = 1ull << (SIGNAL_CHLD - 1);
	struct siginfo_out si = { 0 };
	struct wait_info info;
	int64_t pid;

	say_is("block SIGCHLD", call(SYS_rt_sigprocmask, SIG_BLOCK, at(&set), 0, 8), 0);
	pid = spawn("7");
	say_is("it comes", call(SYS_rt_sigtimedwait, at(&set), at(&si), 0, 8), SIGNAL_CHLD);
	say_is("from the child", si.si_pid, pid);
	say_true("with its status", si.si_code == CLD_EXITED && si.si_status == 7);
	say_is("and leaves it to be awaited", wait_for(pid, &info), 0);
	say_is("unblock", call(SYS_rt_sigprocmask, SIG_UNBLOCK, at(&set), 0, 8), 0);
}

static void handled(struct ring *ring, int64_t own)
{
	struct sigaction_in act = { .handler = at((const void *)(uintptr_t)handler) };
	char word[24] = "s";
	struct wait_info info;
	int64_t pid, n;

	for (int i = 0; i < 18 && own; i++, own /= 10) { /* backwards */
		for (int k = i + 1; k > 0; k--)
			word[k + 1] = word[k];
		word[1] = (char)('0' + own % 10);
	}
	say_is("action", call(SYS_rt_sigaction, USR1, at(&act), 0, 8), 0);
	pid = spawn(word);
	while (came < 3) /* computes */
		async_relax();
	came = 0;
	n = ring_enter(ring, 0, 1, IORING_ENTER_GETEVENTS | ring_wake_flags(ring), NULL, 0);
	say_is("enter that waits for nothing", n, -EINTR);
	say_true("has been interrupted", came > 0);
	say_is("kill", call(SYS_kill, (uint64_t)pid, SIGNAL_KILL, 0, 0), 0);
	say_is("wait", wait_for(pid, &info), 0);
	say_true("killed by 9", info.si_code == CLD_KILLED && info.si_status == 9);
	say_is("it is gone", call(SYS_kill, (uint64_t)pid, 0, 0, 0), -ESRCH);
}

/* One that is blocked waits, is said to, and comes when it may. */
static void blocked(uint64_t own)
{
	uint64_t set = 1ull << (USR1 - 1), was = 0;

	came = 0;
	say_is("block", call(SYS_rt_sigprocmask, SIG_BLOCK, at(&set), at(&was), 8), 0);
	say_is("nothing was before", (int64_t)was, 0);
	say_is("to itself", call(SYS_kill, own, USR1, 0, 0), 0);
	say_is("what is pending", call(SYS_rt_sigpending, at(&was), 8, 0, 0), 0);
	say_is("is that", (int64_t)was, (int64_t)set);
	say_is("and has not come", came, 0);
	say_is("unblock", call(SYS_rt_sigprocmask, SIG_UNBLOCK, at(&set), at(&was), 8), 0);
	say_is("what was blocked", (int64_t)was, (int64_t)set);
	while (!came) /* or it does not end */
		async_relax();
	say_is("nothing is pending", call(SYS_rt_sigpending, at(&was), 8, 0, 0), 0);
	say_is("nor blocked", call(SYS_rt_sigprocmask, SIG_SETMASK, at(&was), at(&set), 8), 0);
	say_true("any more", !was && !set && came == 1);
}

static void refused(void)
{
	struct sigaction_in act = { 0 };
	uint64_t set = 0;

	say_is("signal 0", call(SYS_rt_sigaction, 0, 0, 0, 8), -EINVAL);
	say_is("signal 65", call(SYS_rt_sigaction, 65, 0, 0, 8), -EINVAL);
	say_is("SIGKILL's action", call(SYS_rt_sigaction, SIGNAL_KILL, at(&act), 0, 8), -EINVAL);
	say_is("a set of 16 bytes", call(SYS_rt_sigprocmask, SIG_BLOCK, at(&set), 0, 16), -EINVAL);
	say_is("a way that is none", call(SYS_rt_sigprocmask, 3, at(&set), 0, 8), -EINVAL);
	say_is("an action nowhere", call(SYS_rt_sigaction, USR1, 8, 0, 8), -EFAULT);
	say_is("a stack's place", call(SYS_sigaltstack, 0, 0, 0, 0), -EINVAL);
	say_is("everybody", call(SYS_kill, (uint64_t)-1, USR1, 0, 0), -ENOSYS);
	say_is("nobody", call(SYS_kill, 99999, USR1, 0, 0), -ESRCH);
	say_is("stopping",
	       call(SYS_kill, (uint64_t)call(SYS_getpid, 0, 0, 0, 0), SIGNAL_STOP, 0, 0), -ENOSYS);
	say_is("no thread", call(SYS_tgkill, (uint64_t)call(SYS_getpid, 0, 0, 0, 0), 77, USR1, 0),
	       -ESRCH);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	static const uint32_t all[] = { SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigpending,
					SYS_sigaltstack, SYS_rt_sigtimedwait, SYS_rt_sigsuspend };

	if (argc > 1 && argv[1][0] == 's')
		return sender(text_number(argv[1] + 1));
	if (argc > 1)
		return (int)text_number(argv[1]);
	if (call(SYS_rt_sigaction, USR1, 0, 0, 8) == -ENOSYS) {
		for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			say_is("no signals here", call(all[i], 0, 0, 0, 0), -ENOSYS);
#ifdef __riscv
		say_true("but there are", false);
#endif
		return say_verdict();
	}
	child_ends();
	handled(ring, call(SYS_getpid, 0, 0, 0, 0));
	blocked((uint64_t)call(SYS_getpid, 0, 0, 0, 0));
	refused();
	return say_verdict();
}
