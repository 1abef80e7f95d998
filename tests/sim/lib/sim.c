/*
 * sim: the stepper, virtual time, boot, and the report. See sim.h.
 */
#include "lib/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/machine.h"
#include "base/print.h"
#include "base/trace.h"
#include "cores/core.h"
#include "drivers/drivers.h"
#include "fs/fs.h"
#include "lib/internal.h"
#include "lib/timed.h"
#include "mm/frames.h"
#include "net/net.h"
#include "ring/ring.h"
#include "sched/fiber.h"
#include "sched/timer.h"

#define SIM_RAM_MIB 32u
#define SIM_OPS 256u /* few, so that the pool runs empty now and then */
#define SEEDS_DEFAULT 12u

struct sim_core sim_cores[CORES_MAX];
unsigned sim_here;
struct arch_fiber sim_stepper;
nsec_t sim_now;

static uint64_t random_state;
static uint64_t history; /* of every step: equal seeds, equal numbers */
static uint64_t steps;
static bool in_stepper = true;
bool sim_busy;
void (*sim_between)(void);
void (*sim_last_words)(void);
static int report_fd;
static bool early_wakes; /* every other seed: they would hide a lost wake-up */
static bool traced;
static uint32_t ops_per_core = SIM_OPS;

/* ---- random, failure ------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) */
uint64_t sim_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void trace_line(const char *text)
{
	fputs(text, stderr);
}

noreturn_fn void sim_fail(const char *fmt, ...)
{
	char why[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (sim_last_words)
		sim_last_words();
	if (traced)
		sim_trace_print();
	else if (sim_verbose)
		trace_dump(60, trace_line);
	len = min_of(len, (int)sizeof(why) - 24);
	len += sprintf(why + len, "#%llx", (unsigned long long)(history ^ sim_trace_hash));
	if (write(report_fd, why, (size_t)min_of(len, (int)sizeof(why) - 1)) < 0)
		_exit(4);
	_exit(3);
}

/* ---- what the kernel sees as its machine ----------------------------------------------------- */

void sim_switch(void)
{
	arch_fiber_switch(sim_cores[sim_here].current, &sim_stepper);
}

bool sim_is_stepping(void)
{
	return in_stepper;
}

void sim_yield(void)
{
	if (in_stepper)
		return;
	if (sim_timed)
		sim_timed_sync();
	else
		sim_switch();
}

static nsec_t machine_time(void)
{
	if (sim_timed && !in_stepper)
		return sim_timed_time();
	return sim_now++; /* time passes for those who wait for it */
}

static void machine_idle(nsec_t deadline)
{
	struct sim_core *sc = &sim_cores[sim_here];

	sc->deadline = deadline;
	if (sim_timed)
		sim_timed_settle();
	sc->idle = true;
	sim_switch();
	sc->idle = false;
	sc->bell = false;
}

static void machine_doorbell(unsigned index)
{
	if (sim_timed)
		sim_timed_bell(&sim_cores[index], !in_stepper);
	sim_cores[index].bell = true;
}

static int machine_core_start(unsigned index, void (*entry)(struct core *), struct core *arg)
{
	(void)index;
	(void)entry;
	(void)arg;
	return -5; /* the stepper starts them all: cores_start is never called */
}

static noreturn_fn void machine_poweroff(int status)
{
	sim_fail("the kernel went off with status %d: %s", status, panic_epitaph);
}

static bool machine_preempt(void)
{
	return sim_chance(4);
}

static const struct hosted_sim machine = {
	.time_ns = machine_time,
	.idle = machine_idle,
	.doorbell = machine_doorbell,
	.core_start = machine_core_start,
	.poweroff = machine_poweroff,
	.entropy = sim_random,
	.drivers = sim_drivers,
	.console = sim_console,
	.preempt = machine_preempt,
	.user_run = sim_user_run,
	.user_fini = sim_user_fini,
};

/* ---- the stepper ----------------------------------------------------------------------------- */

void *sim_stack_alloc(void)
{
	void *stack = mmap(NULL, SIM_STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (stack == MAP_FAILED)
		sim_fail("no memory for a stack");
	return stack;
}

void sim_stack_free(void *stack)
{
	munmap(stack, SIM_STACK_BYTES);
}

static void core_main(void *arg)
{
	struct core *c = arg;

	if (sim_timed)
		core_loop(c);
	for (;;) {
		unsigned done = core_turn(c);

		history = history * 0x100000001b3ull ^ (c->index + done * 64ull + sim_now * 4096);
		sim_yield();
		if (!done && !sim_chance(4))
			core_sleep(c);
	}
}

static void be_core(unsigned index)
{
	sim_here = index;
	hosted_cpu_self = &hosted_cpus[index];
	arch_core_set(cores[index]);
}

static bool can_run(const struct sim_core *sc)
{
	return sc->started && (!sc->idle || sc->bell || sc->deadline <= sim_now);
}

static void resume(unsigned index)
{
	be_core(index);
	in_stepper = false;
	arch_fiber_switch(&sim_stepper, sim_cores[index].current);
	in_stepper = true;
}

/* The core that is earliest, until it is not. */
static bool step_timed(void)
{
	nsec_t device = sim_devices_step(sim_now);
	int index = sim_timed_next(device);

	if (index < 0) {
		if (device == NSEC_NEVER)
			return false;
		sim_now = max_of(device, sim_now);
		return true;
	}
	history = history * 0x100000001b3ull ^ ((unsigned)index + sim_cores[index].clock * 128);
	steps++;
	resume((unsigned)index);
	return true;
}

/* One core, at random, one piece. False: nothing can run now or ever. */
static bool step(void)
{
	unsigned ready[CORES_MAX], n = 0;
	nsec_t next;

	if (sim_between)
		sim_between();
	if (sim_timed)
		return step_timed();
	next = sim_devices_step(sim_now);
	if (++steps > SIM_STEPS_MAX)
		sim_fail("no end after %u steps, %llu ms of virtual time", SIM_STEPS_MAX,
			 (unsigned long long)(sim_now / 1000000));
	for (unsigned i = 0; i < cores_count; i++) {
		struct sim_core *sc = &sim_cores[i];

		if (can_run(sc) || (early_wakes && sc->started &&
				    sim_chance(200))) /* arch_idle_wait may return early */
			ready[n++] = i;
		else if (sc->started)
			next = min_of(next, sc->deadline);
	}
	if (!n) {
		if (next == NSEC_NEVER)
			return false;
		if (sim_busy)
			sim_fail("every core sleeps until %llu us, and nothing here waits for time",
				 (unsigned long long)(next / 1000));
		sim_now = max_of(next, sim_now);
		return true;
	}
	sim_now += sim_below(3000);
	resume(ready[sim_below(n)]);
	return true;
}

void sim_until(bool (*done)(void *arg), void *arg)
{
	while (!done(arg))
		if (!step())
			sim_fail("every core sleeps, and nothing will wake them");
}

static bool time_reached(void *arg)
{
	return sim_now >= *(nsec_t *)arg;
}

void sim_for(nsec_t ns)
{
	nsec_t until = sim_now + ns;

	while (!time_reached(&until))
		if (!step())
			sim_now = until;
}

void sim_on_core(unsigned index, void (*fn)(void *arg), void *arg)
{
	be_core(index);
	fn(arg);
	/* the core may have been asleep, and what fn did has told nobody: that is ours to do */
	machine_doorbell(index);
}

/* ---- boot: kernel/main.c without its last line ----------------------------------------------- */

static void boot_core(struct core *c)
{
	struct sim_core *sc = &sim_cores[c->index];

	trace_init_core(c->index, frames_boot_alloc(trace_ring_size(TRACE_SLOTS)), TRACE_SLOTS);
	timers_init(c);
	if (c->roles & ROLE_MAY_SERVE) {
		executor_init(c, ops_per_core);
		fibers_init(c);
	}
	if (c->roles & ROLE_MAY_RUN)
		placement_init(c);
	arch_fiber_init(&sc->fiber, sim_stack_alloc(), SIM_STACK_BYTES, core_main, c);
	sc->current = &sc->fiber;
	sc->deadline = NSEC_NEVER;
	sc->started = true;
}

static void boot(const struct sim_test *t)
{
	struct hosted_options o = { .cores = t->cores,
				    .ram_bytes = (uint64_t)(t->ram_mib ? t->ram_mib : SIM_RAM_MIB)
						 << 20,
				    .cmdline = t->cmdline };

	hosted_sim = &machine;
	if (hosted_machine_init(&o))
		sim_fail("the machine cannot be made");
	hosted_cpu_enter(0);
	sim_archive_make();
	if (t->disk_sectors)
		sim_disk_make(t->disk_sectors);
	if (cmdline_init(arch_boot.cmdline))
		sim_fail("boot arguments refused");
	trace_detail = sim_verbose || traced;
	frames_init();
	if (cores_init())
		sim_fail("core map refused");
	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i])
			boot_core(cores[i]);
	be_core(0);
	drivers_init();
	fs_init();
	if (net_init())
		sim_fail("network settings refused");
	processes_init();
	rings_init();
}

/* ---- one run, in a process of its own -------------------------------------------------------- */

static noreturn_fn void run_child(const struct sim_test *test, uint64_t seed, int fd)
{
	struct sim_test t = *test;

	report_fd = fd;
	random_state = seed * 0x2545f4914f6cdd1dull;
	early_wakes = seed & 1;
	traced = t.traced;
	sim_verbose = getenv("SIM_VERBOSE") != NULL;
	sim_trace_all = getenv("SIM_TRACE") != NULL;
	if (t.shape)
		t.shape(&t);
	if (t.ops)
		ops_per_core = t.ops;
	boot(&t);
	t.run();
	dprintf(report_fd, "=%llx", (unsigned long long)(history ^ steps ^ sim_trace_hash));
	_exit(0);
}

/* 0 and the history of the run, or 1 with its reason, in `said`. */
static int run_once(const struct sim_test *t, uint64_t seed, char *said, size_t size)
{
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	fflush(NULL);
	if (pipe(fds))
		abort();
	pid = fork();
	if (!pid) {
		close(fds[0]);
		run_child(t, seed, fds[1]);
	}
	close(fds[1]);
	while (len < size - 1 && (n = read(fds[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = 0;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && *said == '=')
		return 0;
	if (!*said || *said == '=')
		snprintf(said, size,
			 WIFEXITED(status) ? "died with exit status %d" : "died by signal %d",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 1;
}

/* ---- many runs ------------------------------------------------------------------------------- */

struct soak {
	uint64_t first, last, jobs;
	bool on; /* goes on after a failure */
	/* shared by all jobs */
	struct soak_counts {
		_Atomic uint64_t passed, failed;
	} *counts;
};

/* A failure in words; the same seed once more has to end the same way, after the same history. */
static void tell_failure(const struct sim_test *t, uint64_t seed, char *said, size_t size)
{
	char again[600], *hash = strrchr(said, '#');
	bool same;

	(void)run_once(t, seed, again, min_of(size, sizeof(again)));
	same = !strcmp(said, again);
	if (hash)
		*hash = 0;
	printf("FAIL %s: %s (seed %llu, commit %s; a second run %s)\n", t->name, said,
	       (unsigned long long)seed, SIM_COMMIT,
	       same ? "had the same history" : "had ANOTHER history");
	fflush(stdout);
}

int sim_run_one(const struct sim_test *t, uint64_t seed, uint64_t *hash)
{
	char said[600];

	if (run_once(t, seed, said, sizeof(said))) {
		tell_failure(t, seed, said, sizeof(said));
		return 1;
	}
	*hash = strtoull(said + 1, NULL, 16);
	return 0;
}

/* Every jobs-th seed, beginning with the job-th. */
static void run_job(const struct sim_test *t, const struct soak *s, uint64_t job)
{
	char said[600], again[600];

	for (uint64_t seed = s->first + job; seed <= s->last; seed += s->jobs) {
		uint64_t done;

		if (!s->on && s->counts->failed)
			return;
		if (run_once(t, seed, said, sizeof(said))) {
			if (!s->counts->failed++ || s->on)
				tell_failure(t, seed, said, sizeof(said));
			continue;
		}
		if (seed == s->first &&
		    (run_once(t, seed, again, sizeof(again)) || strcmp(said, again))) {
			s->counts->failed++;
			printf("FAIL %s: two runs of one seed differ: %s %s (seed %llu)\n", t->name,
			       said, again, (unsigned long long)seed);
			continue;
		}
		done = ++s->counts->passed + s->counts->failed;
		if (s->on && done % 500 == 0)
			printf("%s: %llu of %llu seeds, %llu failed\n", t->name,
			       (unsigned long long)done,
			       (unsigned long long)(s->last - s->first + 1),
			       (unsigned long long)s->counts->failed);
	}
}

static bool run_test(const struct sim_test *t, const struct soak *s)
{
	uint64_t before = s->counts->failed;

	for (uint64_t job = 1; job < s->jobs; job++) {
		fflush(NULL);
		if (!fork()) {
			run_job(t, s, job);
			fflush(NULL);
			_exit(0);
		}
	}
	run_job(t, s, 0);
	while (wait(NULL) > 0)
		;
	if (s->counts->failed != before)
		return false;
	printf("ok %s\n", t->name);
	return true;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int sim_main(const struct sim_test *tests, unsigned count)
{
	const char *only = getenv("TEST");
	uint64_t one = number("SEED", 0), many = number("SEEDS", 0), first = number("FIRST", 1);
	struct soak s = { .on = number("SOAK", 0), .jobs = number("JOBS", 1) };
	bool good = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	s.counts = mmap(NULL, sizeof(*s.counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (s.counts == MAP_FAILED || !s.jobs)
		abort();
	if (number("CANCELS", 0))
		sim_cover_begin();
	for (unsigned i = 0; i < count; i++) {
		uint64_t seeds = many ? many : tests[i].seeds ? tests[i].seeds : SEEDS_DEFAULT;

		if (only && !strstr(tests[i].name, only))
			continue;
		s.first = one ? one : first;
		s.last = one ? one : first + seeds - 1;
		if (!s.on)
			s.counts->failed = 0;
		good &= run_test(&tests[i], &s);
	}
	sim_cover_print();
	if (s.on)
		printf("%llu passed, %llu failed\n", (unsigned long long)s.counts->passed,
		       (unsigned long long)s.counts->failed);
	return good ? 0 : 1;
}
