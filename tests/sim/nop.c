/*
 * Does every submitted entry come back as exactly one completion, whoever sleeps, whoever is late,
 * and however the cores interleave?
 */
#include "lib/prog.h"

#include <string.h>

#define ENTRIES 600u

/* Random batches of NOPs, never more outstanding than the CQ holds; each answers once with its own
 * number. */
static void nops(struct sim_prog *p)
{
	uint8_t seen[ENTRIES] = { 0 };
	uint32_t sent = 0, got = 0;

	while (got < ENTRIES) {
		struct io_uring_cqe cqe;
		uint32_t batch = (uint32_t)sim_below(40);

		while (batch-- && sent < ENTRIES) {
			struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = sent };

			if (!prog_sqe(p, &sqe))
				break;
			sent++;
		}
		prog_submit(p);
		if (sent == got)
			continue;
		if (sim_chance(3))
			prog_wait(p, 1 + (uint32_t)sim_below(sent - got));
		prog_wait_cqe(p, &cqe);
		do {
			sim_check(cqe.user_data < sent);
			sim_check(cqe.res == 0 && cqe.flags == 0);
			sim_check(!seen[cqe.user_data]++);
			got++;
		} while (prog_cqe(p, &cqe));
	}
}

static void one_program(void)
{
	sim_busy = true;
	sim_spawn(nops, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void mixed_core(void)
{
	sim_busy = true;
	sim_spawn(nops, NULL, 0, 0);
	sim_spawn(nops, NULL, 0, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void four_programs(void)
{
	sim_busy = true;
	sim_spawn(nops, NULL, 2, 0);
	sim_spawn(nops, NULL, 3, 1);
	sim_spawn(nops, NULL, 3, 0);
	sim_spawn(nops, NULL, 2, 1);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* One entry at a time, parking for each: the doorbell's race, as often as can be. */
static void one_by_one(struct sim_prog *p)
{
	for (uint32_t i = 0; i < 300; i++) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = i };
		struct io_uring_cqe cqe;

		sim_check(prog_sqe(p, &sqe));
		prog_submit(p);
		prog_wait(p, 1);
		sim_check(prog_cqe(p, &cqe));
		sim_check(cqe.user_data == i);
		for (uint64_t n = sim_below(20); n; n--)
			prog_pause(p);
	}
}

/* Never parks: only NEED_WAKEUP and the doorbell can wake the poller. */
static void spins(struct sim_prog *p)
{
	for (uint32_t i = 0; i < 200; i++) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = i };
		struct io_uring_cqe cqe;

		sim_check(prog_sqe(p, &sqe));
		prog_submit(p);
		for (unsigned n = 0; !prog_cqe(p, &cqe); n++)
			sim_check(n < 20000);
		for (uint64_t n = sim_below(40); n; n--)
			prog_pause(p);
	}
}

static void spinners(void)
{
	sim_busy = true;
	sim_spawn(spins, NULL, 1, 0);
	sim_spawn(spins, NULL, 2, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void doorbells(void)
{
	sim_busy = true;
	sim_spawn(one_by_one, NULL, 1, 0);
	sim_spawn(one_by_one, NULL, 2, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* Submits far more than the CQ holds before it looks: nothing may be lost, and the order of NOPs is
 * theirs. */
static void overflow(struct sim_prog *p)
{
	uint32_t sent = 0, got = 0,
		 total = p->start.params.cq_entries + 3 * p->start.params.sq_entries;
	struct io_uring_cqe cqe;

	while (sent < total) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = sent };

		if (prog_sqe(p, &sqe))
			sent++;
		else
			prog_submit(p);
		/* admission may wait for room in the CQ: then somebody must take */
		if (sim_chance(2000) || (sent > p->start.params.cq_entries && sim_chance(20)))
			while (prog_cqe(p, &cqe))
				sim_check(cqe.user_data == got++);
	}
	prog_submit(p);
	while (got < total) {
		prog_wait_cqe(p, &cqe);
		sim_check(cqe.user_data == got++);
	}
}

static void overflows(void)
{
	sim_busy = true;
	sim_spawn(overflow, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* Processes are killed at any moment, with entries at every stage. */
static void killed(void)
{
	struct process *p[6];

	for (int i = 0; i < 6; i++)
		p[i] = sim_spawn(nops, NULL, 1 + (unsigned)i % 2, 0);
	for (int i = 0; i < 6; i++) {
		sim_for(sim_below(400000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "nop one program", .run = one_program, .cores = 2 },
		{ .name = "nop mixed core", .run = mixed_core, .cores = 1 },
		{ .name = "nop four programs", .run = four_programs, .cores = 4,
		  .cmdline = "map=0:kernel,1:kernel,2:user,3:user" },
		{ .name = "nop doorbells", .run = doorbells, .cores = 3 },
		{ .name = "nop spinning programs", .run = spinners, .cores = 3 },
		{ .name = "nop overflow", .run = overflows, .cores = 2 },
		{ .name = "nop killed", .run = killed, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
