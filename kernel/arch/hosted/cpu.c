/*
 * cpu: cores as POSIX threads: their start, their sleep, their doorbells, the clock, the end of the
 * machine.
 *
 * Doorbell: the ringer stores bell, fences, looks at the state; the core stores its state, fences,
 * looks at bell. So either the ringer sees IDLE or USER and interrupts, or the core sees the bell
 * and does not leave the kernel.
 */
#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/counters.h"
#include "base/panic.h"

#ifdef CONFIG_COVERAGE
#include <gcov.h>
#endif

struct hosted_cpu hosted_cpus[CORES_MAX];
__thread struct hosted_cpu *hosted_cpu_self;
__thread struct core *hosted_core;
const struct hosted_sim *hosted_sim;
struct arch_boot arch_boot;

static void (*poweroff_hooks[4])(void);
static unsigned poweroff_hook_count;

/* ---- time ------------------------------------------------------------------------------------ */

/* ticks * scale >> 32 = nanoseconds; scale 0: no usable counter, ask the host each time */
static uint64_t tsc_start, tsc_scale, tsc_hz;
static nsec_t host_start;

static nsec_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (nsec_t)t.tv_sec * 1000000000u + (nsec_t)t.tv_nsec;
}

/* Is the counter the same on all cores and in all sleep states? Intel SDM volume 3, 17.17.1: CPUID
 * 80000007H, EDX bit 8. */
static bool tsc_is_invariant(void)
{
	uint32_t a = 0x80000007u, b, c = 0, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d >> 8 & 1;
}

static void clock_pair(nsec_t *ns, uint64_t *tsc)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __builtin_ia32_rdtsc(), after;
		nsec_t now = host_ns();

		after = __builtin_ia32_rdtsc();
		if (after - before < best) {
			best = after - before;
			*ns = now;
			*tsc = before + (after - before) / 2;
		}
	}
}

static void clock_init(void)
{
	uint64_t tsc;
	nsec_t ns;

	clock_pair(&host_start, &tsc_start);
	if (!tsc_is_invariant())
		return;
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	clock_pair(&ns, &tsc);
	if (tsc <= tsc_start || ns <= host_start)
		return;
	tsc_scale = (uint64_t)(((unsigned __int128)(ns - host_start) << 32) / (tsc - tsc_start));
	tsc_hz = (uint64_t)((unsigned __int128)(tsc - tsc_start) * 1000000000u / (ns - host_start));
}

nsec_t hosted_time_ns(void)
{
	if (unlikely(hosted_sim))
		return hosted_sim->time_ns();
	if (unlikely(!tsc_scale))
		return host_ns() - host_start;
	return (nsec_t)((unsigned __int128)(__builtin_ia32_rdtsc() - tsc_start) * tsc_scale >> 32);
}

uint64_t arch_user_time_hz(void)
{
	return hosted_sim ? 0 : tsc_hz;
}

static uint64_t wall_boot;

uint64_t arch_wall_boot_ns(void)
{
	return wall_boot;
}

void hosted_clock_init(void)
{
	struct timespec t;

	if (hosted_sim)
		return;
	clock_init();
	clock_gettime(CLOCK_REALTIME, &t);
	wall_boot = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- cores ----------------------------------------------------------------------------------- */

#define DEVICE_THREADS 2u /* the disk's and the network's want a processor too */

/* One core per host processor when there are enough; otherwise the host's scheduler knows
 * better. */
static void cpu_bind(unsigned index)
{
	cpu_set_t have, one;
	unsigned seen = 0;

	if (sched_getaffinity(0, sizeof(have), &have) ||
	    (unsigned)CPU_COUNT(&have) < arch_boot.cores + DEVICE_THREADS)
		return;
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &have) || seen++ != index)
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

void hosted_cpu_enter(unsigned index)
{
	struct hosted_cpu *cpu = &hosted_cpus[index];
	struct sigevent tick = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	hosted_cpu_self = cpu;
	cpu->deadline = cpu->deadline_armed = NSEC_NEVER;
	if (hosted_sim)
		return;
	cpu_bind(index);
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	hosted_signals_thread(cpu);
	tick._sigev_un._tid = gettid();
	cpu->has_timer = !timer_create(CLOCK_MONOTONIC, &tick, &cpu->timer);
	atomic_store_explicit(&cpu->tid, gettid(), memory_order_release);
}

struct start {
	unsigned index;
	void (*entry)(struct core *);
	struct core *arg;
};

static void *cpu_main(void *p)
{
	struct start s = *(struct start *)p;

	free(p);
	hosted_cpu_enter(s.index);
	arch_core_set(s.arg);
	s.entry(s.arg);
	return NULL;
}

int arch_core_start(unsigned index, void (*entry)(struct core *), struct core *arg)
{
	struct start *s;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (hosted_sim)
		return hosted_sim->core_start(index, entry, arg);
	if (index >= arch_boot.cores || !(s = malloc(sizeof(*s))))
		return -EIO;
	*s = (struct start){ index, entry, arg };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, HOSTED_STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, cpu_main, s);
	pthread_attr_destroy(&attr);
	if (err) {
		free(s);
		return -EIO;
	}
	return 0;
}

/* ---- sleeping and waking --------------------------------------------------------------------- */

void arch_idle_wait(nsec_t deadline)
{
	struct hosted_cpu *cpu = hosted_cpu_self;
	struct timespec wait, *limit = NULL;

	if (hosted_sim) {
		hosted_sim->idle(deadline);
		return;
	}
	if (deadline != NSEC_NEVER) {
		nsec_t now = arch_time_ns(), ns = deadline > now ? deadline - now : 0;

		wait = (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
		limit = &wait;
	}
	/* pairs with arch_doorbell; the futex call itself looks at bell once more */
	atomic_store_explicit(&cpu->state, CPU_IDLE, memory_order_seq_cst);
	if (!atomic_load_explicit(&cpu->bell, memory_order_seq_cst))
		syscall(SYS_futex, &cpu->bell, FUTEX_WAIT_PRIVATE, 0, limit, NULL, 0);
	atomic_store_explicit(&cpu->state, CPU_KERNEL, memory_order_relaxed);
	atomic_store_explicit(&cpu->bell, 0, memory_order_seq_cst);
}

void arch_doorbell(unsigned index)
{
	struct hosted_cpu *cpu = &hosted_cpus[index];

	if (hosted_sim) {
		hosted_sim->doorbell(index);
		return;
	}
	atomic_store_explicit(&cpu->bell, 1, memory_order_seq_cst);
	switch ((enum hosted_cpu_state)atomic_load_explicit(&cpu->state, memory_order_seq_cst)) {
	case CPU_KERNEL:
		break;
	case CPU_IDLE:
		syscall(SYS_futex, &cpu->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		break;
	case CPU_USER:
		syscall(SYS_tgkill, getpid(), atomic_load_explicit(&cpu->tid, memory_order_acquire),
			SIGUSR1);
		break;
	}
}

int arch_irq_route(unsigned irq, unsigned index)
{
	/* Devices here are threads that ring the doorbell themselves. */
	(void)irq;
	(void)index;
	return -ENODEV;
}

/* ---- long steps ------------------------------------------------------------------------------ */

void (*arch_preempted)(void);
__thread bool hosted_window;

void arch_preempt_begin(struct arch_preempt *p, nsec_t deadline, bool all)
{
	(void)p, (void)deadline, (void)all;
}

void arch_preempt_end(struct arch_preempt *p)
{
	(void)p;
}

bool hosted_preempt_due(void)
{
	if (hosted_sim)
		return hosted_sim->preempt && hosted_sim->preempt();
	return atomic_load_explicit(&hosted_cpu_self->bell, memory_order_relaxed);
}

/* ---- the end --------------------------------------------------------------------------------- */

void hosted_at_poweroff(void (*fn)(void))
{
	if (poweroff_hook_count < array_count(poweroff_hooks))
		poweroff_hooks[poweroff_hook_count++] = fn;
}

void arch_poweroff(int status)
{
	if (hosted_sim)
		hosted_sim->poweroff(status);
	while (poweroff_hook_count)
		poweroff_hooks[--poweroff_hook_count]();
#ifdef CONFIG_COVERAGE
	__gcov_dump(); /* _exit leaves out what atexit would do */
#endif
	_exit(status);
}

static void on_stop(int sig)
{
	(void)sig;
	for (;;)
		pause();
}

void arch_stop_others(void)
{
	struct sigaction sa = { .sa_handler = on_stop, .sa_flags = SA_ONSTACK };

	if (hosted_sim)
		return;
	sigfillset(&sa.sa_mask);
	sigaction(SIGUSR2, &sa, NULL);
	for (unsigned i = 0; i < arch_boot.cores; i++) {
		int tid = atomic_load_explicit(&hosted_cpus[i].tid, memory_order_acquire);

		if (tid && &hosted_cpus[i] != hosted_cpu_self)
			syscall(SYS_tgkill, getpid(), tid, SIGUSR2);
	}
}

/* ---- console of last resort and randomness --------------------------------------------------- */

void arch_console_write(const char *text, size_t len)
{
	if (hosted_sim) {
		hosted_sim->console(text, len);
		return;
	}
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			sched_yield();
		} else if (errno != EINTR) {
			return;
		}
	}
}

int arch_console_read(void)
{
	return -1;
}

uint64_t arch_entropy(void)
{
	uint64_t value = 0;

	if (hosted_sim)
		return hosted_sim->entropy();
	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		value = __builtin_ia32_rdtsc();
	return value;
}
