/*
 * Do signals do for a program of Linux what they do there: handlers with their frame, masks,
 * queues, alternate stacks, faults that are mended, calls that are interrupted or begin again? And
 * while another process keeps sending?
 *
 * env: SLUICE_UINTR=0
 * also: SLUICE_UINTR=0 send 1
 * also: SLUICE_UINTR=1
 * also: SLUICE_UINTR=1 send 3
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static volatile int came, last, code;
static void *volatile where;
static volatile long value, sender;
static volatile uint64_t masked;

static void note(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	volatile double scratch = 1.5;
	sigset_t now;

	for (int i = 0; i < 10; i++)
		scratch = scratch * 3 + i; /* its own FP registers */
	came++;
	last = signo;
	code = info->si_code;
	value = (long)info->si_value.sival_ptr;
	sender = info->si_pid;
	sigprocmask(SIG_BLOCK, NULL, &now);
	masked = *(uint64_t *)(void *)&now;
	expect(*(uint64_t *)(void *)&uc->uc_sigmask != masked || !masked);
}

static void handle(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	sigaddset(&act.sa_mask, SIGUSR2);
	expect(!sigaction(signo, &act, NULL));
}

static sigset_t set_of(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	return set;
}

static void plain(void)
{
	struct sigaction act;

	handle(SIGUSR1, note, 0);
	expect(!sigaction(SIGUSR1, NULL, &act) && act.sa_sigaction == note);
	came = 0;
	expect(!raise(SIGUSR1) && came == 1 && last == SIGUSR1 && code == SI_TKILL);
	expect(masked & 1ull << (SIGUSR1 - 1) && sender == getpid());
#ifdef __GLIBC__ /* musl 1.2.3 hands over a restorer, which riscv64 has not, as the mask */
	expect(masked == (1ull << (SIGUSR1 - 1) | 1ull << (SIGUSR2 - 1)));
#endif
	expect(!kill(getpid(), SIGUSR1) && came == 2 && code == SI_USER);
	expect_errno(kill(12345, SIGUSR1), ESRCH);
	expect_errno(kill(getpid(), 65), EINVAL);
	expect_errno(kill(getpid(), SIGSTOP), ENOSYS);
	expect_errno(sigaction(SIGKILL, &act, NULL), EINVAL);
	expect(!kill(getpid(), 0) && !kill(getpid(), SIGCHLD) && !kill(getpid(), SIGWINCH));
}

/* Every register that the handler may change is as it was, FP ones too. */
static void registers(int before)
{
	long pid = getpid();
	register long a7 __asm__("a7") = SYS_tgkill;
	register long a0 __asm__("a0") = pid;
	register long a1 __asm__("a1") = a0;
	register long a2 __asm__("a2") = SIGUSR1;
	long t6, t0;
	double ft0, fa7, fs11;

	__asm__ volatile(
		"li t0, 1111\n\tli t6, 2222\n\t"
		"fcvt.d.l ft0, t0\n\tfcvt.d.l fa7, t6\n\tfcvt.d.l fs11, t0\n\t"
		"ecall\n\t"
		"mv %0, t0\n\tmv %1, t6\n\tfmv.d %2, ft0\n\tfmv.d %3, fa7\n\tfmv.d %4, fs11"
		: "=&r"(t0), "=&r"(t6), "=&f"(ft0), "=&f"(fa7), "=&f"(fs11), "+r"(a0)
		: "r"(a7), "r"(a1), "r"(a2)
		: "t0", "t6", "ft0", "fa7", "fs11", "memory");
	expect(came == before + 1 && a0 == 0 && t0 == 1111 && t6 == 2222);
	expect(ft0 == 1111 && fa7 == 2222 && fs11 == 1111);
}

static void masks(void)
{
	sigset_t set = set_of(SIGUSR1), got;

	came = 0;
	expect(!sigprocmask(SIG_BLOCK, &set, NULL));
	expect(!raise(SIGUSR1) && !raise(SIGUSR1) && !came);
	expect(!sigpending(&got) && sigismember(&got, SIGUSR1) && !sigismember(&got, SIGUSR2));
	expect(!sigprocmask(SIG_UNBLOCK, &set, NULL) && came == 1);
	expect(!sigpending(&got) && !sigismember(&got, SIGUSR1));
}

static long order[8];
static int ordered;

static void in_order(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	if (ordered < 8)
		order[ordered++] = (long)info->si_value.sival_ptr;
}

static void queues(void)
{
	int signo = SIGRTMIN + 3, kept = 0;
	sigset_t set = set_of(signo), other = set_of(SIGUSR1);
	struct timespec none = { 0, 0 }, short_ = { 0, 2000000 };
	siginfo_t info;

	handle(signo, in_order, 0);
	expect(!sigprocmask(SIG_BLOCK, &set, NULL));
	for (long i = 1; i <= 3; i++)
		expect(!sigqueue(getpid(), signo, (union sigval){ .sival_ptr = (void *)i }));
	expect(!sigprocmask(SIG_UNBLOCK, &set, NULL));
	expect(ordered == 3 && order[0] == 1 && order[1] == 2 && order[2] == 3);
	expect(!sigprocmask(SIG_BLOCK, &set, NULL));
	while (kept < 1000 && !sigqueue(getpid(), signo, (union sigval){ .sival_int = kept }))
		kept++;
	expect(kept >= 32 && kept < 1000 && errno == EAGAIN);
	for (int i = 0; i < kept; i++)
		expect(sigtimedwait(&set, &info, &none) == signo && info.si_value.sival_int == i &&
		       info.si_code == SI_QUEUE && info.si_pid == getpid());
	expect_errno(sigtimedwait(&set, &info, &none), EAGAIN);
	expect_errno(sigtimedwait(&set, &info, &short_), EAGAIN);
	expect(!sigprocmask(SIG_SETMASK, &other, NULL) && !sigprocmask(SIG_UNBLOCK, &other, NULL));
}

static char alt[16384];
static char *volatile stood;
static volatile int on_alt;

static void stand(int signo)
{
	stack_t st;
	char here;

	(void)signo;
	stood = &here;
	expect(!sigaltstack(NULL, &st));
	on_alt = st.ss_flags;
	st.ss_flags = 0;
	expect_errno(sigaltstack(&st, NULL), EPERM);
}

static void stacks(void)
{
	stack_t st = { .ss_sp = alt, .ss_size = sizeof(alt) },
		small = { .ss_sp = alt, .ss_size = 100 };
	struct sigaction act = { .sa_handler = stand, .sa_flags = SA_ONSTACK };

	expect(!sigaltstack(&st, NULL) && !sigaction(SIGUSR2, &act, NULL) && !raise(SIGUSR2));
	expect(stood >= alt && stood < alt + sizeof(alt) && on_alt == SS_ONSTACK);
	expect_errno(sigaltstack(&small, NULL), ENOMEM);
	st.ss_flags = SS_DISABLE;
	expect(!sigaltstack(&st, &small) && small.ss_sp == alt && !small.ss_flags);
}

static char *volatile page, *volatile nowhere = (char *)8;
static sigjmp_buf out;

static void mend(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	came++;
	last = signo;
	code = info->si_code;
	where = info->si_addr;
	if (signo == SIGSEGV && info->si_code == SEGV_ACCERR)
		mprotect(page, 4096, PROT_READ | PROT_WRITE);
	else if (signo == SIGTRAP || signo == SIGILL)
		uc->uc_mcontext.__gregs[REG_PC] += 4;
	else
		siglongjmp(out, 1);
}

static void faults(void)
{
	int fd = memfd_create("short", 0);

	for (int i = 0; i < 4; i++)
		handle((int[]){ SIGSEGV, SIGBUS, SIGILL, SIGTRAP }[i], mend, 0);
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)(page + 5) = 7; /* not before it may be written */
	expect(last == SIGSEGV && code == SEGV_ACCERR && where == page + 5 && page[5] == 7);
	if (!sigsetjmp(out, 1))
		*nowhere = 1;
	expect(last == SIGSEGV && code == SEGV_MAPERR && where == nowhere);
	__asm__ volatile(".option push\n\t.option norvc\n\tebreak\n\t.option pop" : : : "memory");
	expect(last == SIGTRAP && code == TRAP_BRKPT);
	__asm__ volatile(".4byte 0xffffffff" : : : "memory");
	expect(last == SIGILL && code == ILL_ILLOPC);
	expect(!ftruncate(fd, 4096));
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	came = 0;
	if (!sigsetjmp(out, 1))
		page[5000] = 1;
	expect(came == 1 && last == SIGBUS && where == page + 5000);
	for (int i = 0; i < 4; i++)
		signal((int[]){ SIGSEGV, SIGBUS, SIGILL, SIGTRAP }[i], SIG_DFL);
}

static void pipes(void)
{
	int ends[2];

	expect(!pipe(ends) && !close(ends[0]));
	came = 0;
	handle(SIGPIPE, note, 0);
	expect_errno((int)write(ends[1], "x", 1), EPIPE);
	expect(came == 1 && last == SIGPIPE);
	signal(SIGPIPE, SIG_IGN);
	expect_errno((int)write(ends[1], "x", 1), EPIPE);
	expect(came == 1 && !close(ends[1]));
}

/* ---- while another process sends SIGURG, again and again: who has no handler does not mind */

static int feed[2];
static volatile int urges, feeding;

static void urge(int signo)
{
	(void)signo;
	if (++urges % 4 == 0 && feeding)
		expect(write(feed[1], "y", 1) == 1); /* so that a read that begins again ends */
}

static void urge_with(int flags)
{
	struct sigaction act = { .sa_handler = urge, .sa_flags = flags };

	urges = 0;
	expect(!sigaction(SIGURG, &act, NULL));
}

static void interrupted(void)
{
	struct timespec long_ = { 100, 0 };
	struct pollfd pfd;
	sigset_t set = set_of(SIGURG), none;
	siginfo_t info;
	double sum = 0;
	char c;

	urge_with(0);
	while (urges < 3)
		sum += 0.5; /* it computes: nothing but the signal stops it */
	expect(sum > 0);
	if (!strcmp(getenv("SLUICE_UINTR"), "1"))
		for (urges = 0; urges < 3;) /* or waits for interrupts of its own, as VS-mode may */
			__asm__ volatile("wfi");
	expect(!pipe(feed));
	pfd = (struct pollfd){ .fd = feed[0], .events = POLLIN };
	for (int i = 0; i < 3; i++) {
		expect_errno(nanosleep(&long_, NULL), EINTR);
		expect_errno((int)read(feed[0], &c, 1), EINTR);
		expect_errno(poll(&pfd, 1, -1), EINTR);
	}
	urge_with(SA_RESTART);
	feeding = 1;
	for (int i = 0; i < 3; i++)
		expect(read(feed[0], &c, 1) == 1 && c == 'y' && urges >= 4 * (i + 1));
	feeding = 0;
	expect_errno(nanosleep(&long_, NULL), EINTR); /* this one never begins again */
	expect(!sigprocmask(SIG_BLOCK, &set, &none));
	expect(sigtimedwait(&set, &info, &long_) == SIGURG && info.si_code == SI_USER);
	expect(sigwaitinfo(&set, &info) == SIGURG && info.si_pid == getpid() + 1);
	urges = 0;
	expect_errno(sigsuspend(&none), EINTR);
	expect(urges >= 1 && !sigprocmask(SIG_BLOCK, NULL, &none) && sigismember(&none, SIGURG));
	signal(SIGURG, SIG_IGN);
	expect(!sigprocmask(SIG_UNBLOCK, &set, NULL));
}

/* As quickly as it can at times, and otherwise so that calls can begin to wait. */
static int send_to(pid_t pid)
{
	struct timespec nap = { 0, 2000000 };
	int sent = 0, stop = 0;

	while (!stop && sent < 20000) {
		for (int i = 0; !stop && i < (sent % 200 ? 1 : 100); i++, sent++)
			stop = kill(pid, SIGURG);
		nanosleep(&nap, NULL);
	}
	expect(stop == -1 && errno == ESRCH); /* it has ended by itself */
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return send_to(atoi(argv[2]));
	plain();
	registers(came);
	masks();
	queues();
	stacks();
	faults();
	pipes();
	interrupted();
	printf("signals: done\n");
	return 0;
}
