/*
 * Does a timeout end once: by its time, never early, or by whoever stops it first; and does a
 * linked timeout end its operation or the operation it? What if the canceller and the timer come in
 * the same turn?
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/time.h"

#define ROUNDS 200u

static struct io_uring_sqe timeout(struct sim_prog *p, uaddr_t at, nsec_t ns, uint64_t user_data)
{
	struct __kernel_timespec ts = { .tv_sec = (int64_t)(ns / 1000000000),
					.tv_nsec = (int64_t)(ns % 1000000000) };

	prog_write(p, at, &ts, sizeof(ts));
	return (struct io_uring_sqe){
		.opcode = IORING_OP_TIMEOUT, .addr = at, .len = 1, .user_data = user_data
	};
}

/* One timeout at a time: not early, and not hours late. */
static void alone(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);

	for (uint64_t i = 0; i < 60; i++) {
		nsec_t ns = sim_below(3) ? sim_below(2000000) : 0;
		struct io_uring_sqe sqe = timeout(p, at, ns, i);
		nsec_t before = arch_time_ns();

		sim_check(prog_do(p, &sqe, NULL) == -ETIME);
		sim_check(arch_time_ns() - before >= ns);
		sim_check(arch_time_ns() - before < ns + 50000000);
	}
}

static void alone_test(void)
{
	sim_spawn(alone, NULL, 1, 0);
	sim_spawn(alone, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* Timeouts and their removals race: each gets exactly one answer, and the two answers fit
 * together. */
static void removed(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	int32_t res[2 * ROUNDS];
	uint8_t seen[2 * ROUNDS] = { 0 };
	uint32_t next = 0, out = 0;
	struct io_uring_cqe cqe;

	while (next < 2 * ROUNDS || out) {
		if (next < 2 * ROUNDS && out < 100 && !sim_chance(3)) {
			struct io_uring_sqe sqe =
				timeout(p, at + next % 256 * 16, sim_below(60000), next);
			struct io_uring_sqe gone = { .opcode = IORING_OP_TIMEOUT_REMOVE,
						     .addr = next,
						     .user_data = next + 1 };

			if (sim_chance(2))
				gone.opcode = IORING_OP_ASYNC_CANCEL;
			sim_check(prog_sqe(p, &sqe));
			if (sim_chance(2)) /* the remover may come later, even too late */
				prog_submit(p);
			for (uint64_t n = sim_below(30); n; n--)
				prog_pause(p);
			sim_check(prog_sqe(p, &gone));
			prog_submit(p);
			next += 2;
			out += 2;
		}
		while (sim_chance(2)               ? prog_cqe(p, &cqe)
		       : out && next == 2 * ROUNDS ? (prog_wait_cqe(p, &cqe), true)
						   : false) {
			sim_check(cqe.user_data < next && !seen[cqe.user_data]++);
			res[cqe.user_data] = cqe.res;
			out--;
		}
	}
	for (uint32_t i = 0; i < next; i += 2) {
		sim_check(seen[i] == 1 && seen[i + 1] == 1);
		if (res[i] == -ECANCELED)
			sim_check(res[i + 1] == 0);
		else
			sim_check(res[i] == -ETIME &&
				  (res[i + 1] == -ENOENT || res[i + 1] == -EALREADY));
	}
}

static void removed_test(void)
{
	sim_spawn(removed, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* A read that nobody will ever satisfy, with a linked timeout, against a canceller that may come
 * before, after, or in between. */
static void linked(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_READ,
					    .flags = IOSQE_IO_LINK,
					    .fd = 0,
					    .addr = at + 64,
					    .len = 16,
					    .off = (uint64_t)-1,
					    .user_data = 1 };
		struct io_uring_sqe stop = { .opcode = IORING_OP_ASYNC_CANCEL,
					     .addr = 1,
					     .user_data = 3 };
		struct io_uring_sqe lt = timeout(p, at, sim_below(100000), 2);
		bool cancels = sim_chance(2);
		int32_t res[4] = { 0 };
		unsigned want = cancels ? 3 : 2;

		lt.opcode = IORING_OP_LINK_TIMEOUT;
		sim_check(prog_sqe(p, &sqe) && prog_sqe(p, &lt));
		prog_submit(p);
		if (cancels) {
			for (uint64_t n = sim_below(40); n; n--)
				prog_pause(p);
			sim_check(prog_sqe(p, &stop));
			prog_submit(p);
		}
		while (want--) {
			struct io_uring_cqe cqe;

			prog_wait_cqe(p, &cqe);
			sim_check(cqe.user_data >= 1 && cqe.user_data <= 3 && !res[cqe.user_data]);
			res[cqe.user_data] = cqe.res ? cqe.res : 1;
		}
		/* whoever stopped it, the read is cancelled; the timeout says whether it was the
		 * one */
		sim_check(res[1] == -ECANCELED || res[1] == -EINTR);
		if (res[2] == -ECANCELED)
			sim_check(cancels && res[3] == 1);
		else
			sim_check(res[2] == -ETIME || res[2] == -EALREADY || res[2] == -ENOENT);
	}
}

static void linked_test(void)
{
	sim_spawn(linked, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* Chains of links run in order; a failed member ends the rest with -ECANCELED, a hard link does
 * not. */
static void chains(struct sim_prog *p)
{
	for (uint32_t round = 0; round < 100; round++) {
		uint32_t n = 1 + (uint32_t)sim_below(8), bad = (uint32_t)sim_below(12);
		bool hard = sim_chance(2);
		struct io_uring_cqe cqe;

		for (uint32_t i = 0; i < n; i++) {
			struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = i };

			if (i + 1 < n)
				sqe.flags = hard ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
			if (sim_chance(3))
				sqe.flags |= IOSQE_ASYNC;
			if (i == bad) {
				sqe.nop_flags = IORING_NOP_INJECT_RESULT;
				sqe.len = (uint32_t)-EIO;
			}
			sim_check(prog_sqe(p, &sqe));
		}
		prog_submit(p);
		for (uint32_t i = 0; i < n; i++) {
			int32_t want = i == bad ? -EIO : i > bad && !hard ? -ECANCELED : 0;

			prog_wait_cqe(p, &cqe);
			if (cqe.user_data != i || cqe.res != want)
				sim_fail("round %u, %u links, %u is bad, hard %d: at %u came %llu "
					 "with %d",
					 round, n, bad, hard, i, (unsigned long long)cqe.user_data,
					 cqe.res);
		}
	}
}

static void chains_test(void)
{
	sim_spawn(chains, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* A program ends, or is ended, with hundreds of operations that would wait for ever. */
static void leaves_much(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, 4 * PAGE_SIZE);
	bool quits = p->arg != NULL;

	for (uint32_t i = 0; i < 230; i++) {
		struct io_uring_sqe sqe;

		switch (sim_below(3)) {
		case 0:
			sqe = timeout(p, at + i * 16, 1000000000000, i);
			break;
		case 1:
			sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ,
						     .fd = 0,
						     .addr = at + 2 * PAGE_SIZE,
						     .len = 5000,
						     .off = (uint64_t)-1,
						     .user_data = i };
			break;
		default:
			sqe = (struct io_uring_sqe){ .opcode = IORING_OP_POLL_ADD,
						     .fd = 0,
						     .poll32_events = 1,
						     .user_data = i };
		}
		if (sim_chance(4))
			sqe.flags |= IOSQE_IO_LINK;
		if (sim_chance(10))
			sqe.flags |= IOSQE_IO_DRAIN;
		sim_check(prog_sqe(p, &sqe));
		if (sim_chance(8))
			prog_submit(p);
	}
	prog_submit(p);
	for (uint64_t n = sim_below(300); n; n--)
		prog_pause(p);
	while (!quits)
		prog_wait(p, 1000); /* until it is killed */
}

static void leaves_much_test(void)
{
	struct process *p[4];

	for (int i = 0; i < 4; i++)
		p[i] = sim_spawn(leaves_much, i & 1 ? &p : NULL, 1 + (unsigned)i / 2, 0);
	sim_for(sim_below(3000000));
	for (int i = 0; i < 4; i += 2)
		sim_kill(p[i]);
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "timeout alone", .run = alone_test, .cores = 2 },
		{ .name = "timeout removed", .run = removed_test, .cores = 2 },
		{ .name = "timeout linked", .run = linked_test, .cores = 2 },
		{ .name = "timeout linked, mixed core",
		  .run = alone_test,
		  .cores = 2,
		  .cmdline = "map=0:mixed,1:user" },
		{ .name = "chains", .run = chains_test, .cores = 2 },
		{ .name = "leaves much in flight", .run = leaves_much_test, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
