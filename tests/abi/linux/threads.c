/*
 * Are a program's threads, made by its C library's pthread_create, threads of its process here: do
 * mutexes, conditions with and without times, joins, masks, robust mutexes, affinity and the
 * rounding mode do what they do on Linux; is what is not a thread refused by name; is there a
 * limit, and is everything back afterwards? And does the process end, whoever ends it, while others
 * wait?
 *
 * map: moves.conf
 * env: SLUICE_UINTR=0
 * also: SLUICE_UINTR=1
 * also: SLUICE_UINTR=0 waiting
 * also: SLUICE_UINTR=1 waiting
 * also: SLUICE_UINTR=0 first
 * also: SLUICE_UINTR=1 first
 * also: SLUICE_UINTR=0 fault
 * also: SLUICE_UINTR=1 fault
 * also: SLUICE_UINTR=0 stack
 * also: SLUICE_UINTR=1 stack
 * ends: exit status 0
 * ends: exit status 5
 * ends: exit status 5
 * ends: exit status 0
 * ends: exit status 0
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define MANY 16
#define ROUNDS 300

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long sum;
static int turn;
static __thread long mine = 7;

static pthread_t start(void *(*fn)(void *), long arg)
{
	pthread_t t;

	expect(!pthread_create(&t, NULL, fn, (void *)arg));
	return t;
}

static long join(pthread_t t)
{
	void *value;

	expect(!pthread_join(t, &value));
	return (long)value;
}

static long futex(void *word, int command, unsigned value, const struct timespec *time, void *to,
		  unsigned last)
{
	return syscall(SYS_futex, word, command, value, time, to, last);
}

/* ---- mutexes, conditions, joins */

/* Each adds, and passes the turn to the next. */
static void *adds(void *arg)
{
	long me = (long)arg;

	expect(mine == 7 && getpid() != syscall(SYS_gettid));
	mine = me;
	for (int i = 0; i < ROUNDS; i++) {
		expect(!pthread_mutex_lock(&lock));
		sum += me;
		expect(!pthread_mutex_unlock(&lock));
	}
	expect(!pthread_mutex_lock(&lock));
	while (turn != me)
		expect(!pthread_cond_wait(&turned, &lock));
	turn++;
	expect(!pthread_cond_broadcast(&turned) && !pthread_mutex_unlock(&lock));
	expect(mine == me);
	return (void *)(me * 2);
}

static void together(int count)
{
	pthread_t t[MANY];

	sum = turn = 0;
	for (int i = 0; i < count; i++)
		t[i] = start(adds, i);
	for (int i = 0; i < count; i++)
		expect(join(t[i]) == 2 * i);
	expect(sum == (long)ROUNDS * count * (count - 1) / 2 && turn == count && mine == 7);
}

/* ---- times */

static struct timespec in_ms(clockid_t id, long ms)
{
	struct timespec ts;

	expect(!clock_gettime(id, &ts));
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static void *signals_late(void *arg)
{
	struct timespec nap = { 0, 2000000 };

	nanosleep(&nap, NULL);
	pthread_mutex_lock(&lock);
	*(int *)arg = 1;
	pthread_cond_signal(&turned);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void times(void)
{
	struct timespec until = in_ms(CLOCK_REALTIME, 5), little = { 0, 3000000 }, now,
			bad = { 0, 1000000000 };
	unsigned word = 3;
	pthread_t t;
	int there = 0;

	pthread_mutex_lock(&lock);
	expect(pthread_cond_timedwait(&turned, &lock, &until) == ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &now);
	expect(now.tv_sec > until.tv_sec ||
	       (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
	expect(pthread_mutex_timedlock(&lock, &now) == ETIMEDOUT);
	until = in_ms(CLOCK_REALTIME, 100000);
	t = start(signals_late, (long)&there);
	while (!there)
		expect(!pthread_cond_timedwait(&turned, &lock, &until));
	pthread_mutex_unlock(&lock);
	join(t);
	until = in_ms(CLOCK_MONOTONIC, 3);
	expect_errno(futex(&word, 0 | 128, 3, &little, NULL, 0), ETIMEDOUT);
	expect_errno(futex(&word, 9, 3, &until, NULL, 1), ETIMEDOUT); /* WAIT_BITSET */
	expect_errno(futex(&word, 9, 3, &until, NULL, 0), EINVAL);
	expect_errno(futex(&word, 0, 2, &little, NULL, 0), EAGAIN);
	expect_errno(futex(&word, 0, 3, &bad, NULL, 0), EINVAL);
	expect_errno(futex(&word, 0, 3, (void *)8, NULL, 0), EFAULT);
	expect_errno(futex((void *)8, 0, 3, NULL, NULL, 0), EFAULT);
	expect_errno(futex((char *)&word + 1, 0, 3, NULL, NULL, 0), EINVAL);
	expect_errno(futex(&word, 6, 0, NULL, NULL, 0), ENOSYS); /* LOCK_PI */
	expect(futex(&word, 1, INT_MAX, NULL, NULL, 0) == 0);
}

/* ---- one word's waiters moved to another */

static unsigned from, to;
static int woken;

static void *waits(void *arg)
{
	(void)arg;
	expect(!futex(&from, 128, 0, NULL, NULL, 0));
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void requeues(void)
{
	pthread_t t[4];
	int moved = 0;

	for (int i = 0; i < 4; i++)
		t[i] = start(waits, 0);
	expect_errno(futex(&from, 4, 0, (void *)4, &to, 1), EAGAIN); /* CMP_REQUEUE */
	while (moved < 4) { /* until all have come to wait */
		moved += (int)futex(&from, 4, 0, (void *)4, &to, 0);
		sched_yield();
	}
	expect(futex(&from, 1, INT_MAX, NULL, NULL, 0) == 0 && woken == 0);
	expect(futex(&to, 3, 1, (void *)0, &from, 0) == 1); /* REQUEUE: wakes one, moves none */
	expect(futex(&to, 1, INT_MAX, NULL, NULL, 0) == 3);
	for (int i = 0; i < 4; i++)
		join(t[i]);
	expect(woken == 4);
}

/* ---- what a thread has of its own */

#define UPWARD 3ul /* F extension: frm */

static unsigned long rounding(void)
{
	unsigned long mode;

	__asm__ volatile("frrm %0" : "=r"(mode));
	return mode;
}

static void round_by(unsigned long mode)
{
	__asm__ volatile("fsrm %0" : : "r"(mode));
}

static volatile int came;
static pthread_t who;

static void note(int signo)
{
	(void)signo;
	expect(pthread_equal(pthread_self(), who));
	came++;
}

static void *masked(void *arg)
{
	sigset_t set;
	int got;

	(void)arg;
	expect(!pthread_sigmask(SIG_BLOCK, NULL, &set) && sigismember(&set, SIGUSR2));
	expect(!sigismember(&set, SIGUSR1) && rounding() == UPWARD);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	expect(!sigwait(&set, &got) && got == SIGUSR2);
	while (!came)
		sched_yield();
	return NULL;
}

static void own(void)
{
	struct sigaction act = { .sa_handler = note };
	sigset_t set;
	cpu_set_t cpus, one;
	int first = 0;

	expect(!sigaction(SIGUSR1, &act, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	expect(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	round_by(UPWARD);
	who = start(masked, 0);
	round_by(0);
	expect(!pthread_kill(who, SIGUSR1) && !pthread_kill(who, SIGUSR2));
	join(who);
	expect(came == 1 && !pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	expect_errno(syscall(SYS_tgkill, getpid(), 0x7fffffff, SIGUSR1), ESRCH);

	expect(!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus));
	while (!CPU_ISSET(first, &cpus))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	expect(!sched_setaffinity(0, sizeof(one), &one));
	together(4); /* they inherit it */
	expect(!sched_setaffinity(0, sizeof(cpus), &cpus));
}

/* ---- robust mutexes */

static pthread_mutex_t robust[2];

static void *dies_with(void *arg)
{
	(void)arg;
	expect(!pthread_mutex_lock(&robust[0]) && !pthread_mutex_lock(&robust[1]));
	return NULL;
}

static void *takes(void *arg)
{
	int got = pthread_mutex_lock(&robust[(long)arg]);

	if (got == EOWNERDEAD)
		expect(!pthread_mutex_consistent(&robust[(long)arg]));
	expect(!pthread_mutex_unlock(&robust[(long)arg]));
	return (void *)(long)got;
}

static void orphans(void)
{
	pthread_mutexattr_t attr;
	pthread_t t;

	expect(!pthread_mutexattr_init(&attr));
	expect(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	for (int i = 0; i < 2; i++)
		expect(!pthread_mutex_init(&robust[i], &attr));
	expect(!pthread_mutex_lock(&robust[1]));
	t = start(dies_with, 0);
	expect(!pthread_mutex_unlock(&robust[1]));
	join(t);
	for (long i = 0; i < 2; i++) {
		expect(join(start(takes, i)) == EOWNERDEAD);
		expect(join(start(takes, i)) == 0);
	}
}

/* ---- what is refused, and the limit */

static char stack[4096] __attribute__((aligned(16)));

/* A thread that writes to its stack and ends. */
static long raw_clone(unsigned long flags, void *top, void *parent, void *child)
{
	register long a7 __asm__("a7") = SYS_clone;
	register long a0 __asm__("a0") = (long)flags;
	register long a1 __asm__("a1") = (long)top;
	register long a2 __asm__("a2") = (long)parent;
	register long a3 __asm__("a3") = 0;
	register long a4 __asm__("a4") = (long)child;

	__asm__ volatile("ecall\n\tbnez a0, 1f\n\t"
			 "sd a0, -16(sp)\n\tli a7, 93\n\tecall\n1:"
			 : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
			 : "memory");
	return a0;
}

#define THREAD 0x50f00ul /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */
#define CLEARS 0x200000ul

static void refused(void)
{
	static const unsigned long no[][2] = {
		{ 17, ENOSYS },			   /* fork */
		{ 0x4111, ENOSYS },		   /* vfork */
		{ THREAD & ~0x200ul, ENOSYS },	   /* files' names of its own */
		{ THREAD & ~0x400ul, ENOSYS },	   /* descriptors of its own */
		{ THREAD & ~0x800ul, EINVAL },	   /* a thread with handlers of its own */
		{ THREAD & ~0x100ul, EINVAL },	   /* handlers without the memory */
		{ THREAD | 0x20000000ul, ENOSYS }, /* names of processes */
	};
	uint64_t args[16] = { 0 };
	struct timespec nap = { 0, 1000000 };
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint32_t word = 5;
	long tid;

	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		expect(raw_clone(no[i][0], stack + 4096, NULL, NULL) == -(long)no[i][1]);
	expect_errno(syscall(SYS_clone3, args, 8), EINVAL);
	expect_errno(syscall(SYS_clone3, args, 4096), E2BIG);
	expect_errno(syscall(SYS_clone3, (void *)8, 64), EFAULT);
	expect_errno(syscall(SYS_clone3, args, 64), ENOSYS);
	args[0] = THREAD;
	args[5] = (uintptr_t)stack;
	expect_errno(syscall(SYS_clone3, args, 64), EINVAL); /* a stack without a size */
	args[15] = 1;
	expect_errno(syscall(SYS_clone3, args, 128), E2BIG);

	/* words that cannot be written, or are half in the next page: the thread lives and ends */
	expect(!mprotect(pages + 4096, 4096, PROT_NONE));
	expect(raw_clone(THREAD | CLEARS | 0x1100000, stack + 4096, (void *)8, (void *)8) > 0);
	nanosleep(&nap, NULL);
	expect(raw_clone(THREAD | CLEARS, stack + 4096, NULL, pages + 4094) > 0);
	nanosleep(&nap, NULL);
	tid = raw_clone(THREAD | CLEARS | 0x100000, stack + 4096, (void *)&word, (void *)&word);
	expect(tid > 0);
	while (word)
		futex((void *)&word, 0, (unsigned)tid, NULL, NULL, 0);
	expect_errno(syscall(SYS_set_robust_list, args, 8), EINVAL);
	expect(!munmap(pages, 8192));
}

static pthread_barrier_t full;

static void *meets(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void limit(void)
{
	pthread_attr_t attr;
	pthread_t t[80];
	int made = 0, err = 0;

	expect(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, 65536));
	pthread_mutex_lock(&lock);
	while (made < 80 && !(err = pthread_create(&t[made], &attr, meets, NULL)))
		made++;
	expect(err == EAGAIN && made >= MANY && made < 64);
	pthread_mutex_unlock(&lock);
	while (made)
		join(t[--made]);
}

/* Those that nobody joins give their stacks back by themselves. */
static void *detached(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&full);
	return NULL;
}

static void alone(void)
{
	pthread_attr_t attr;
	pthread_t t;

	expect(!pthread_attr_init(&attr));
	expect(!pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	for (int round = 0; round < 8; round++) {
		expect(!pthread_barrier_init(&full, NULL, 5));
		for (int i = 0; i < 4; i++)
			while (pthread_create(&t, &attr, detached, NULL))
				sched_yield(); /* the last ones are still going */
		pthread_barrier_wait(&full);
	}
}

/* ---- ends */

static char *volatile nowhere = (char *)8;

static void *waits_for_ever(void *arg)
{
	int ends[2];
	char c;

	switch ((long)arg % 4) {
	case 0:
		pthread_mutex_lock(&lock);
		break;
	case 1:
		sleep(1000);
		break;
	case 2:
		for (;;)
			__asm__ volatile("" : : : "memory");
	default:
		expect(!pipe(ends) && read(ends[0], &c, 1) == 1);
	}
	return NULL;
}

static void *ends(void *arg)
{
	struct timespec nap = { 0, 3000000 };

	nanosleep(&nap, NULL);
	if (!strcmp(arg, "waiting"))
		exit(5);
	if (!strcmp(arg, "fault"))
		*nowhere = 1;
	return NULL;
}

static int end_by(const char *way)
{
	pthread_mutex_lock(&lock);
	if (!strcmp(way, "stack")) {
		raw_clone(THREAD, (void *)64, NULL, NULL);
		pthread_mutex_lock(&lock);
	}
	start(ends, (long)way);
	if (!strcmp(way, "first"))
		pthread_exit((void *)3);
	for (long i = 0; i < 8; i++)
		start(waits_for_ever, i);
	pthread_mutex_lock(&lock);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return end_by(argv[1]);
	together(4);
	together(MANY);
	times();
	requeues();
	own();
	orphans();
	refused();
	limit();
	alone();
	together(8);
	printf("threads: done\n");
	return 0;
}
