/*
 * balance: what does one pass of the balancer cost on eight cores? A kernel that does nothing else:
 * linked with everything of the real one but kernel/main.c.
 *
 * Four cores serve, four run programs, each with two units that a made-up mover lists. The boot
 * core plays them all; the others are not started.
 *
 *	look	a core's look at itself, without a pass
 *	steady	the same with a pass that finds every core equally busy
 *	move	the same, one core full: the pass decides, and posts the order
 *
 * One line `bench: how=... times=...` for each, and marks for the counting plugin around each.
 */
#include "arch/arch.h"
#include "base/cmdline.h"
#include "base/print.h"
#include "base/trace.h"
#include "cores/balance.h"
#include "mm/frames.h"

#define CORES 8u
#define TIMES 200u
#define MARK_BEGIN 0x30 /* bench/plugin/count.c */
#define MARK_END 0x31

static uint64_t moved;
static nsec_t now = 1000000;

static unsigned units_list(struct core *c, struct balance_unit *out, unsigned max)
{
	unsigned n = c->roles & ROLE_USER ? 0 : min_of(max, 2u);

	for (unsigned i = 0; i < n; i++)
		out[i] = (struct balance_unit){ .id = c->index * 2 + i + 1, .load = 100 };
	return n;
}

static int units_move(struct core *c, uint64_t id, unsigned to)
{
	(void)c, (void)id, (void)to;
	moved++;
	return 0;
}

static const struct balance_mover mover = { "made up", units_list, units_move };

/* A window goes by; core `full` has had something to do all the time, the others a tenth of it. */
static void window(unsigned full)
{
	now += BALANCE_EVERY_NS;
	for (unsigned i = 0; i < CORES; i++) {
		struct core *c = cores[i];

		c->now = now;
		c->count->sqes += 200;
		c->count->spin_ns += i == full ? 0 : BALANCE_EVERY_NS / 10 * 9;
	}
}

/* Core 0 looks first, and makes the pass that is due; so the others make none. */
static void round_run(const char *how, unsigned full, unsigned measured)
{
	uint64_t passes = cores[measured]->count->balance_passes, counted = moved;

	for (unsigned n = 0; n < TIMES; n++) {
		window(full);
		/* which remembers no move: it decides each time */
		balance_policy_set(&policy_default);
		for (unsigned i = 0; i < CORES; i++) {
			if (i == measured)
				ARCH_MARK(MARK_BEGIN);
			balance_look(cores[i]);
			if (i == measured)
				ARCH_MARK(MARK_END);
			mailbox_deliver(cores[i]);
		}
	}
	kprint("bench: how=%s times=%u passes=%llu moved=%llu\n", how, TIMES,
	       (unsigned long long)(cores[measured]->count->balance_passes - passes),
	       (unsigned long long)(moved - counted));
}

noreturn_fn void kernel_main(void)
{
	if (cmdline_init(arch_boot.cmdline))
		arch_poweroff(1);
	frames_init();
	if (cores_init())
		arch_poweroff(1);
	for (unsigned i = 0; i < CORES; i++) {
		if (!cores[i])
			arch_poweroff(1);
		trace_init_core(i, frames_boot_alloc(trace_ring_size(TRACE_SLOTS)), TRACE_SLOTS);
	}
	balance_mover_set(BALANCE_RING, &mover);
	window(CORES);
	for (unsigned i = 0; i < CORES; i++)
		cores[i]->signals.stamp = now - BALANCE_EVERY_NS; /* as if it had looked before */
	round_run("look", CORES, 1);
	round_run("steady", CORES, 0);
	round_run("move", 0, 0);
	arch_poweroff(0);
}
