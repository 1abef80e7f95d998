/*
 * Does a machine with more cores do more, and does each entry still come back once? Do two runs of
 * one seed agree to the byte? Do lines that travel slower cost throughput?
 *
 * Without arguments: the test. `cores LOAD CORES KERNEL BATCH COSTS LINES MICROSECONDS SEED` runs
 * one machine and prints what it did, for bench/experiment: LOAD is nop, echo or open, KERNEL of
 * the CORES serve, COSTS is the file of costs, LINES how many times as long a line travels. Both
 * need TIMED=1: a build that does not see the kernel's loads and stores is blind to lines, and says
 * so. `cores measure`, in any other build, times the kernel's code for bench/cost-model.
 * `cores balance LOAD POLICY MAP PROGRAMS COSTS LINES MICROSECONDS SLICE SEED` runs a machine of
 * that MAP with that POLICY, and prints what it did in each SLICE of so many microseconds. LOAD:N
 * is LOAD with all rings on the first N cores.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cores/balance.h"
#include "cores_parts/balance.h"
#include "cores_parts/load.h"
#include "cores_parts/parts.h"

#define COSTS "bench/cost.conf"
#define SHOWN 12u

static struct load *load; /* shared with the runs, which are processes of their own */
static bool shows;	  /* where in the code lines travel */
static char map[CORES_MAX * 12];

static double *measured;  /* not NULL: this run times the kernel's code */
static struct balance_run *balance; /* not NULL: this run is of a policy */

static void run(void)
{
	if (balance)
		balance_run(balance);
	else if (measured)
		load_measure(load, measured);
	else
		load_run(load);
	if (shows)
		sim_lines_print(SHOWN);
	fflush(stdout);
}

static void shape(struct sim_test *t)
{
	char *at = map + sprintf(map, "map=");

	if (balance) {
		sprintf(at, "%s policy=%s", balance->map, balance->policy);
		for (t->cores = 1; *at; at++)
			t->cores += *at == ',';
	}
	for (unsigned i = 0; !balance && i < load->cores; i++)
		at += sprintf(at, "%s%u:%s", i ? "," : "", i, i >= load->kernel ? "user" :
			      load->kind == LOAD_TCP ? "kernel+net+io" : "kernel");
	t->cmdline = map;
	if (!balance)
		t->cores = load->cores;
	sim_timed_begin();
	if (!measured && !sim_lines_seen())
		sim_fail(
			"this build does not see the kernel's loads and stores; make TIMED=1 does");
}

/* Runs `l` on a machine of its own; its answer replaces *l. */
static int simulate(const char *name, struct load *l, uint64_t seed)
{
	struct sim_test test = {
		.name = name, .run = run, .shape = shape, .ram_mib = 32 + l->cores, .ops = 512,
	};
	int err;

	*load = *l;
	err = sim_run_one(&test, seed, &load->hash);
	*l = *load;
	return err;
}

static void *shared(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(2);
	return at;
}

/* Runs `r` on a machine of its own; its answer replaces *r. */
static int simulate_balance(struct balance_run *r, uint64_t seed)
{
	struct sim_test test = {
		.name = "balance", .run = run, .shape = shape, .ram_mib = 64, .ops = 512,
		.disk_sectors = part_is(r->load) ? PART_SECTORS : 0,
	};
	int err;

	sim_disk.delay_max = PART_DISK_NS;
	sim_disk.depth = 64;

	if (!balance)
		balance = shared(sizeof(*balance));
	*balance = *r;
	err = sim_run_one(&test, seed, &balance->hash);
	*r = *balance;
	munmap(balance, sizeof(*balance));
	balance = NULL;
	return err;
}

/* ---- the test of balancing ------------------------------------------------------------------- */

static struct balance_run balance_of(const char *load, const char *policy, const char *on,
				     unsigned programs, nsec_t ns)
{
	struct balance_run r = { .programs = programs, .ns = ns, .slice_ns = 250000 };

	strcpy(r.load, load);
	strcpy(r.policy, policy);
	strcpy(r.map, on);
	return r;
}

static bool expect(bool good, const char *what, const struct balance_run *r)
{
	if (!good)
		printf("FAIL cores: %s: %s under %s on %s: %llu done, %u rings, %u threads, %u "
		       "roles moved, %llu operations given\n",
		       what, r->load, r->policy, r->map, (unsigned long long)r->done,
		       r->slice[r->slices - 1].moves[BALANCE_RING],
		       r->slice[r->slices - 1].moves[BALANCE_THREAD],
		       r->slice[r->slices - 1].moves[BALANCE_ROLE], (unsigned long long)r->given);
	return good;
}

/* Threads that crowd on one of three cores: are they spread, once each, and does that help? */
static bool crowd(uint64_t seed)
{
	static const char on[] = "0:kernel,1:user,2:user,3:user";
	struct balance_run still = balance_of("crowd", "static", on, 3, 20000000);
	struct balance_run moved = balance_of("crowd", "default", on, 3, 20000000);

	if (simulate_balance(&still, seed) || simulate_balance(&moved, seed))
		return false;
	return expect(still.slice[still.slices - 1].moves[BALANCE_THREAD] == 0, "static moves",
		      &still) &&
	       expect(moved.slice[moved.slices - 1].moves[BALANCE_THREAD] == 2, "not spread",
		      &moved) &&
	       expect(moved.slice[7].moves[BALANCE_THREAD] == 2, "not spread within 2 ms",
		      &moved) &&
	       expect(moved.done > 2 * still.done, "no better for it", &moved);
}

/* Two of them, while every core that serves sleeps: is that noticed within a few microseconds, and
 * not when a slice is over? */
static bool crowd_alone(uint64_t seed)
{
	static const char on[] = "0:kernel,1:user,2:user,3:user";
	struct balance_run r = balance_of("compute", "default", on, 2, 20000000);

	return !simulate_balance(&r, seed) &&
	       expect(r.slice[0].moves[BALANCE_THREAD] == 1 &&
			      r.slice[r.slices - 1].moves[BALANCE_THREAD] == 1,
		      "not spread, or more than that", &r) &&
	       expect(r.thread_waited_ns >= BALANCE_AGE_NS &&
			      r.thread_waited_ns <= BALANCE_AGE_NS + 5000,
		      "not noticed within 5 us", &r);
}

/* In slices from `first` on, per slice. */
static double rate(const struct balance_run *r, unsigned first)
{
	double sum = 0;

	for (unsigned i = first; i < r->slices; i++)
		sum += (double)r->slice[i].done;
	return sum / (r->slices - first);
}

static bool shares_even(const struct balance_slice *s)
{
	double all = s->ops[0] + s->ops[1];

	return s->ops[0] > 0.4 * all && s->ops[0] < 0.6 * all;
}

/* Two hot rings on one of two kernel cores: within 2 ms, does each core serve its part, is nearly
 * twice as much done, does the oldest entry wait half as long, and is that the end of it? */
static bool hot(uint64_t seed)
{
	static const char on[] = "0:kernel,1:kernel,2:user,3:user";
	struct balance_run still = balance_of("hot", "static", on, 2, 4000000);
	struct balance_run moved = balance_of("hot", "default", on, 2, 4000000);
	double ages[2] = { 0 }; /* sums of samples, one a slice */
	bool good;

	if (simulate_balance(&still, seed) || simulate_balance(&moved, seed))
		return false;
	good = expect(rate(&moved, 8) >= 1.8 * rate(&still, 8), "not 1.8 times as much", &moved);
	for (unsigned i = 8; i < moved.slices; i++) {
		good = good && expect(shares_even(&moved.slice[i]), "uneven", &moved);
		ages[0] += still.slice[i].age_ns;
		ages[1] += moved.slice[i].age_ns;
	}
	good = good && expect(2 * ages[1] <= 1.1 * ages[0], "entries wait as long", &moved);
	return good && expect(moved.slice[15].moves[BALANCE_RING] == 1, "not one move", &moved);
}

/* One ring that makes its core hot, and cannot be split: are its heavy operations given to the
 * other core, and is half as much again done for it? */
static bool heavy(const char *load, uint64_t seed)
{
	static const char on[] = "0:kernel,1:kernel,2:user";
	struct balance_run still = balance_of(load, "static", on, 1, 8000000);
	struct balance_run moved = balance_of(load, "default", on, 1, 8000000);

	if (simulate_balance(&still, seed) || simulate_balance(&moved, seed))
		return false;
	return expect(!still.given, "static gives", &still) &&
	       expect(moved.given >= moved.done / 4, "nothing is given", &moved) &&
	       expect(!moved.slice[moved.slices - 1].moves[BALANCE_RING], "a ring moves", &moved) &&
	       expect(rate(&moved, 8) >= 1.5 * rate(&still, 8), "not half as much again",
		      &moved);
}

/* One ring that makes its core hot by what is light, NOPs or reads that wait in the run queue, but
 * none of them worth the way: is all of it left where it is? */
static bool light(const char *load, uint64_t seed)
{
	static const char on[] = "0:kernel,1:kernel,2:user";
	struct balance_run r = balance_of(load, "default", on, 1, 4000000);

	return !simulate_balance(&r, seed) && expect(!r.given && !r.last_at_ns, "moves", &r) &&
	       expect(r.slice[r.slices - 1].busy[0] >= 900, "not hot", &r);
}

/* Rings that nobody polls: are they moved, too? */
static bool entered(uint64_t seed)
{
	static const char on[] =
		"0:kernel,1:kernel,2:user,3:user,4:user,5:user,6:user,7:user,8:user,9:user";
	struct balance_run still = balance_of("enter", "static", on, 8, 8000000);
	struct balance_run moved = balance_of("enter", "default", on, 8, 8000000);

	if (simulate_balance(&still, seed) || simulate_balance(&moved, seed))
		return false;
	return expect(moved.slice[7].moves[BALANCE_RING] >= 2, "rings stay", &moved) &&
	       expect(rate(&moved, 8) >= 1.5 * rate(&still, 8), "not half as much again",
		      &moved);
}

/* Six of them: is an old entry answered by a decision within 5 us, and do both cores get three? */
static bool at_once(uint64_t seed)
{
	struct balance_run r = balance_of("hot", "default",
					  "0:kernel,1:kernel,2:user,3:user,4:user,5:user,6:user,"
					  "7:user",
					  6, 4000000);

	return !simulate_balance(&r, seed) &&
	       expect(r.first_behind_ns >= BALANCE_AGE_NS &&
			      r.first_behind_ns <= BALANCE_AGE_NS + 5000,
		      "no decision within 5 us", &r) &&
	       expect(r.slice[7].moves[BALANCE_RING] == 3 && r.slice[15].moves[BALANCE_RING] == 3,
		      "not three moves", &r);
}

/* A load that lies well as it is. */
static bool steady(uint64_t seed)
{
	struct balance_run r = balance_of("steady", "default", "0:kernel,1:kernel,2:user,3:user", 2,
					  50000000);

	return !simulate_balance(&r, seed) && expect(!r.last_at_ns, "moves", &r);
}

/* Computing and asking by turns: does the elastic machine do nine tenths of what the best map that
 * stands still does, in either? */
static bool phases(uint64_t seed)
{
	struct balance_run one = balance_of("phase", "static", "0:kernel,1:user,2:user,3:user", 6,
					    40000000);
	struct balance_run two = balance_of("phase", "static", "0:kernel,1:kernel,2:user,3:user", 6,
					    40000000);
	struct balance_run r = balance_of("phase", "default", "0:kernel,1:user,2:elastic,3:elastic",
					  6, 80000000);
	uint64_t asked;

	if (simulate_balance(&one, seed) || simulate_balance(&two, seed) ||
	    simulate_balance(&r, seed))
		return false;
	asked = max_of(one.done - one.requests, two.done - two.requests);
	return expect(10 * (r.done - r.requests) >= 9 * 2 * asked, "phases of asking", &r) &&
	       expect(10 * r.requests >= 9 * 2 * max_of(one.requests, two.requests),
		      "phases of computing", &r) &&
	       expect(r.slice[r.slices - 1].moves[BALANCE_ROLE] >= 3, "roles do not change", &r);
}

static bool draws(uint64_t seed)
{
	return heavy("heavy", seed);
}

static bool reads(uint64_t seed)
{
	return heavy("reads", seed);
}

static bool light_nops(uint64_t seed)
{
	return light("hot", seed);
}

static bool light_reads(uint64_t seed)
{
	return light("light", seed);
}

static bool balance_test(const char *only, uint64_t seed)
{
	static const struct {
		const char *name;
		bool (*good)(uint64_t seed);
	} tests[] = {
		{ "crowd", crowd },
		{ "crowd alone", crowd_alone },
		{ "hot", hot },
		{ "entered", entered },
		{ "heavy draws", draws },
		{ "heavy reads", reads },
		{ "light nops", light_nops },
		{ "light reads", light_reads },
		{ "at once", at_once },
		{ "steady", steady },
		{ "phases", phases },
	};

	bool asked = false;

	for (unsigned i = 0; i < array_count(tests); i++) {
		if (!strstr(tests[i].name, only))
			continue;
		asked = true;
		if (!tests[i].good(seed))
			return false;
	}
	if (!asked)
		printf("FAIL cores: there is no question named %s\n", only);
	return asked;
}

/* ---- the test -------------------------------------------------------------------------------- */

static struct load machine(unsigned cores)
{
	return (struct load){ .kind = LOAD_ECHO, .cores = cores, .kernel = cores / 2,
			      .ns = 100000 };
}

/* More cores do more, twice the same, slow lines cost. */
static bool scales(uint64_t seed)
{
	static const unsigned sizes[] = { 2, 16, 64 };
	struct load l[3], again, slow;
	bool good = true;

	for (unsigned i = 0; i < 3; i++) {
		l[i] = machine(sizes[i]);
		/* it has looked that every entry came back once, and nothing is left behind */
		if (simulate("cores", &l[i], seed))
			return false;
	}
	again = machine(16);
	if (simulate("cores again", &again, seed))
		return false;
	/* the machine is shared by address space, so nothing else may differ either */
	if (memcmp(&again, &l[1], sizeof(again))) {
		printf("FAIL cores: two runs of seed %llu differ\n", (unsigned long long)seed);
		good = false;
	}
	for (unsigned i = 1; i < 3; i++) {
		double times = (double)sizes[i] / sizes[i - 1];

		if ((double)l[i].done > 0.7 * times * (double)l[i - 1].done)
			continue;
		printf("FAIL cores: %u cores did %llu, %u cores %llu (seed %llu)\n", sizes[i],
		       (unsigned long long)l[i].done, sizes[i - 1],
		       (unsigned long long)l[i - 1].done, (unsigned long long)seed);
		good = false;
	}
	sim_costs_read(COSTS, 2);
	slow = machine(16);
	if (simulate("cores with slow lines", &slow, seed))
		return false;
	if (slow.done * 20 > l[1].done * 19) {
		printf("FAIL cores: slow lines cost nothing: %llu of %llu (seed %llu)\n",
		       (unsigned long long)slow.done, (unsigned long long)l[1].done,
		       (unsigned long long)seed);
		good = false;
	}
	sim_costs_read(COSTS, 1);
	return good;
}

/* TEST=part-of-a-name: of the questions to the balancer, those alone; TEST=cores: all. */
static int test(void)
{
	uint64_t seed = getenv("SEED") && *getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 1;
	const char *only = getenv("TEST") && strcmp(getenv("TEST"), "cores") ? getenv("TEST") : "";
	bool good;

	sim_costs_read(COSTS, 1);
	good = *only || scales(seed);
	good = balance_test(only, seed) && good;
	if (good)
		printf("ok cores\n");
	return !good;
}

/* ---- one machine ----------------------------------------------------------------------------- */

static double mean(const double *values, unsigned from, unsigned to)
{
	double sum = 0;

	for (unsigned i = from; i < to; i++)
		sum += values[i];
	return sum / (to - from);
}

static int one(char **arg)
{
	struct load l = {
		.kind = !strcmp(arg[0], "nop")	? LOAD_NOP :
			!strcmp(arg[0], "open") ? LOAD_OPEN :
						  LOAD_ECHO,
		.cores = (unsigned)atoi(arg[1]),
		.kernel = (unsigned)atoi(arg[2]),
		.batch = (unsigned)atoi(arg[3]),
		.ns = (nsec_t)atoi(arg[6]) * 1000,
	};

	sim_costs_read(arg[4], atof(arg[5]));
	if (l.cores > CORES_MAX || l.kernel < 1 || l.kernel >= l.cores ||
	    !l.batch || l.batch > 128 || !l.ns) {
		fprintf(stderr, "cores: no such machine or load\n");
		return 2;
	}
	shows = true;
	if (simulate("cores", &l, strtoull(arg[7], NULL, 0)))
		return 1;
	printf("cores: load=%s cores=%u kernel=%u done=%llu requests=%llu ns=%llu"
	       " kernel_busy=%.4f user_busy=%.4f hash=%llx\n",
	       arg[0], l.cores, l.kernel, (unsigned long long)l.done,
	       (unsigned long long)l.requests, (unsigned long long)l.ns,
	       mean(l.busy, 0, l.kernel), mean(l.busy, l.kernel, l.cores),
	       (unsigned long long)l.hash);
	for (unsigned i = 0; i < l.cores; i++)
		printf("core: index=%u role=%s busy=%.4f\n", i, i < l.kernel ? "kernel" : "user",
		       l.busy[i]);
	return 0;
}

static void slice_print(const struct balance_run *r, unsigned n)
{
	const struct balance_slice *s = &r->slice[n];

	printf("slice: at_us=%llu done=%llu requests=%llu age_ns=%u rings=%u threads=%u roles=%u",
	       (unsigned long long)(n * r->slice_ns / 1000), (unsigned long long)s->done,
	       (unsigned long long)s->requests, s->age_ns, s->moves[BALANCE_RING],
	       s->moves[BALANCE_THREAD], s->moves[BALANCE_ROLE]);
	for (unsigned i = 0; i < BALANCE_CORES; i++)
		printf(" %s%u", i ? "" : "ops=", s->ops[i]);
	for (unsigned i = 0; i < BALANCE_CORES; i++)
		printf(" %s%u", i ? "" : "busy=", s->busy[i]);
	printf("\n");
}

static int policy_run(char **arg)
{
	static struct balance_run r;

	snprintf(r.load, sizeof(r.load), "%s", arg[0]);
	snprintf(r.policy, sizeof(r.policy), "%s", arg[1]);
	snprintf(r.map, sizeof(r.map), "%s", arg[2]);
	r.programs = (unsigned)atoi(arg[3]);
	if (strchr(r.load, ':')) {
		r.homes = (unsigned)atoi(strchr(r.load, ':') + 1);
		*strchr(r.load, ':') = 0;
	}
	sim_costs_read(arg[4], atof(arg[5]));
	r.ns = (nsec_t)atoi(arg[6]) * 1000;
	r.slice_ns = (nsec_t)atoi(arg[7]) * 1000;
	if (!balance_load_is(r.load) || !r.slice_ns || r.ns / r.slice_ns > BALANCE_SLICES ||
	    !r.programs || r.programs > LOAD_PROGRAMS_MAX) {
		fprintf(stderr, "cores balance: no such load or machine\n");
		return 2;
	}
	if (simulate_balance(&r, strtoull(arg[8], NULL, 0)))
		return 1;
	printf("balance: load=%s policy=%s map=%s programs=%u done=%llu requests=%llu ns=%llu"
	       " passes=%llu refused=%llu first_at_ns=%llu first_behind_ns=%llu last_at_ns=%llu"
	       " thread_waited_ns=%llu"
	       " hash=%llx\n",
	       r.load, r.policy, r.map, r.programs, (unsigned long long)r.done,
	       (unsigned long long)r.requests, (unsigned long long)r.ns,
	       (unsigned long long)r.passes, (unsigned long long)r.refused,
	       (unsigned long long)r.first_at_ns, (unsigned long long)r.first_behind_ns,
	       (unsigned long long)r.last_at_ns, (unsigned long long)r.thread_waited_ns,
	       (unsigned long long)r.hash);
	for (unsigned i = 0; i < r.slices; i++)
		slice_print(&r, i);
	return 0;
}

static int measure(void)
{
	struct load l[] = {
		{ .kind = LOAD_NOP, .cores = 2, .kernel = 1, .batch = 32, .ns = 3000000 },
		{ .kind = LOAD_ECHO, .cores = 2, .kernel = 1, .batch = 1, .ns = 3000000 },
		{ .kind = LOAD_ECHO, .cores = 2, .kernel = 1, .batch = 1, .ns = 3000000 },
		{ .kind = LOAD_TCP, .cores = 2, .kernel = 1, .batch = 1, .ns = 3000000 },
	};

	measured = shared(PAGE_SIZE);
	sim_costs_equal();
	for (unsigned i = 0; i < array_count(l); i++)
		if (simulate("measure", &l[i], 1))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	load = shared(sizeof(*load));
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 9)
		return one(argv + 1);
	if (argc == 11 && !strcmp(argv[1], "balance"))
		return policy_run(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "measure"))
		return measure();
	if (argc == 1)
		return test();
	fprintf(stderr,
		"usage: cores [measure | LOAD CORES KERNEL BATCH COSTS LINES MICROSECONDS SEED |\n"
		"       balance LOAD POLICY MAP PROGRAMS COSTS LINES MICROSECONDS SLICE SEED]\n");
	return 2;
}
