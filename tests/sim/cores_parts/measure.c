/*
 * measure: what the kernel's own code costs on this processor, when every line is with the core:
 * the machine's one thread runs the parts of a turn as they are, and each is timed by the
 * processor's counter. Medians, since a neighbour may take the processor away in the middle.
 *
 * In a build that does not see loads and stores (they would be timed too). Prints NAME_ns=VALUE
 * lines for bench/cost-model.
 */
#include "cores_parts/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drivers/drivers.h"
#include "drivers/random.h"
#include "lib/internal.h"
#include "mm/frames.h"
#include "mm/pin.h"

#define SAMPLES 20000u
#define MAILS 1000u
#define TURNS 1000u
#define TIMES 200u

struct samples {
	double value[SAMPLES];
	unsigned count;
};

static const struct core_part_ops *real[CORE_PARTS];
static struct core_part_ops timed[CORE_PARTS];
static struct samples idle_rings, idle_ops, taken, taken_count, moved, stepped;
static struct samples sent, received;
static double unread; /* messages sent since TCP last looked at what has come */
static double ns_per_tick;
static double sqe, transfer, step; /* found so far */
static bool moves, tcp;	     /* the load moves bytes, through TCP */

static void sample_add(struct samples *s, double value)
{
	if (s->count < SAMPLES)
		s->value[s->count++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct samples *s)
{
	if (!s->count)
		sim_fail("measure: something never happened");
	qsort(s->value, s->count, sizeof(*s->value), by_value);
	return s->value[s->count / 2];
}

static uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void ticks_learn(void)
{
	uint64_t ns = host_ns(), ticks = __builtin_ia32_rdtsc();

	while (host_ns() - ns < 20000000)
		;
	ns_per_tick = (double)(host_ns() - ns) / (double)(__builtin_ia32_rdtsc() - ticks);
}

static unsigned part_run(struct core *c, enum core_part part)
{
	uint64_t sqes = c->count->sqes, steps = c->count->steps, pins = sim_pins();
	uint64_t tcps = sim_tcps(), begin;
	unsigned n;
	double ns;

	sim_timed_held = true; /* the part looks at the clock, and others are not to run then */
	begin = __builtin_ia32_rdtsc();
	n = real[part]->run(c);
	ns = (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick;
	sim_timed_held = false;
	sqes = c->count->sqes - sqes;
	steps = c->count->steps - steps;
	pins = sim_pins() - pins;
	tcps = sim_tcps() - tcps;
	if (tcp) {
		unread += (double)tcps;
		if (tcps)
			sample_add(&sent, (ns - (double)sqes * sqe - (double)pins * transfer -
					   (double)steps * step) / (double)tcps);
		if (part == PART_DEVICES && n && unread > 0) {
			sample_add(&received, (ns - (double)steps * step) / unread);
			unread = 0;
		}
	} else if (!n) {
		sample_add(part == PART_RINGS ? &idle_rings : &idle_ops, ns);
	} else if (part == PART_RINGS && !moves && sqes && sqes % load_batch() == 0) {
		sample_add(&taken, ns / (double)sqes);
		sample_add(&taken_count, (double)sqes);
	} else if (part == PART_RINGS && moves && pins && !steps) {
		sample_add(&moved, (ns - (double)sqes * sqe) / (double)pins);
	} else if (part == PART_OPS && moves && steps) {
		sample_add(&stepped, (ns - (double)pins * transfer) / (double)steps);
	}
	return n;
}

static unsigned rings_run(struct core *c)
{
	return part_run(c, PART_RINGS);
}

static unsigned ops_run(struct core *c)
{
	return part_run(c, PART_OPS);
}

static unsigned devices_run(struct core *c)
{
	return part_run(c, PART_DEVICES);
}

static void part_watch(struct core *c, enum core_part part, unsigned (*run)(struct core *))
{
	real[part] = c->part[part];
	timed[part] = *real[part];
	timed[part].run = run;
	c->part[part] = &timed[part];
}

/* ---- what needs no program ------------------------------------------------------------------- */

static struct samples turns, posts, mails, copies, draws;
static struct mail mail[MAILS];

static void mail_arrived(struct mail *m)
{
	m->next = NULL;
}

static void turns_measure(void *arg)
{
	uint64_t begin;

	(void)arg;
	while (core_turn(cores[0]))
		; /* what booting has left */
	begin = __builtin_ia32_rdtsc();
	for (unsigned i = 0; i < TURNS; i++)
		sim_check(!core_turn(cores[0]));
	sample_add(&turns, (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick / TURNS);
}

static void posts_measure(void *arg)
{
	uint64_t begin = __builtin_ia32_rdtsc();

	(void)arg;
	for (unsigned i = 0; i < MAILS; i++) {
		mail[i].deliver = mail_arrived;
		mailbox_post(1, &mail[i]);
	}
	sample_add(&posts, (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick / MAILS);
}

static void mails_measure(void *arg)
{
	uint64_t begin = __builtin_ia32_rdtsc();

	(void)arg;
	sim_check(mailbox_deliver(cores[1]) >= MAILS);
	sample_add(&mails, (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick / MAILS);
}

/* Into frames that the cache has, from such. */
static void copies_measure(void *arg)
{
	struct pin pin = { .len = PIN_BYTES_MAX, .pages = PIN_BYTES_MAX / PAGE_SIZE };
	paddr_t from = frame_alloc(4), to = frame_alloc(4);
	uint64_t begin;

	(void)arg;
	sim_check(from && to);
	for (unsigned i = 0; i < pin.pages; i++)
		pin.frame[i] = (uint32_t)((to >> PAGE_SHIFT) + i);
	pin_copy_out(&pin, 0, arch_direct(from), pin.len);
	begin = __builtin_ia32_rdtsc();
	pin_copy_out(&pin, 0, arch_direct(from), pin.len);
	sample_add(&copies,
		   (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick / (PIN_BYTES_MAX / 64));
	frame_put(from);
	frame_put(to);
}

static void draws_measure(void *arg)
{
	static const uint32_t key[RANDOM_KEY_WORDS] = { 1 };
	static uint8_t to[PAGE_SIZE];
	uint64_t begin = __builtin_ia32_rdtsc();

	(void)arg;
	random_expand(key, to, sizeof(to));
	sample_add(&draws,
		   (double)(__builtin_ia32_rdtsc() - begin) * ns_per_tick / (sizeof(to) / 64));
}

/* ---- one load -------------------------------------------------------------------------------- */

void load_measure(struct load *l, double *costs)
{
	ticks_learn();
	moves = l->kind != LOAD_NOP;
	tcp = l->kind == LOAD_TCP;
	sqe = costs[0];
	step = costs[2];
	if (!moves) {
		atomic_store(&cores[1]->away, 0); /* as when it is awake: no bell */
		for (unsigned i = 0; i < TIMES; i++) {
			sim_on_core(0, turns_measure, NULL);
			sim_on_core(0, posts_measure, NULL);
			sim_on_core(1, mails_measure, NULL);
			sim_on_core(0, copies_measure, NULL);
			sim_on_core(0, draws_measure, NULL);
		}
	}
	part_watch(cores[0], PART_RINGS, rings_run);
	part_watch(cores[0], PART_OPS, ops_run);
	if (tcp)
		part_watch(cores[0], PART_DEVICES, devices_run);
	transfer = costs[1];
	load_run(l);
	if (!moves) {
		costs[0] = median(&taken) - median(&idle_rings) / median(&taken_count);
		printf("sqe_ns=%.3f\nturn_ns=%.3f\npost_ns=%.3f\nmail_ns=%.3f\ncopy_ns=%.3f\n"
		       "random_ns=%.3f\n",
		       costs[0], median(&turns), median(&posts), median(&mails), median(&copies),
		       median(&draws));
	} else if (tcp) {
		printf("tcp_ns=%.3f\n", max_of(0.0, median(&sent) + median(&received)));
	} else if (!costs[1]) {
		costs[1] = max_of(0.0, median(&moved));
		printf("transfer_ns=%.3f\n", costs[1]);
	} else {
		costs[2] = max_of(0.0, median(&stepped));
		printf("step_ns=%.3f\n", costs[2]);
	}
}
