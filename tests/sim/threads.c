/*
 * Do threads of one program come and go, wait for one another's words and end together, whichever
 * core is faster, and does nothing stay behind: joined or not, killed in the middle of a birth or
 * an end, with the first thread gone before the others?
 */
#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/syscall.h"
#include "uapi/time.h"

#define BLOCKS 8u /* threads of one program at a time */
#define FUTEX_FLAGS 0x82 /* 32 bits, private */

/* In the program's memory: BLOCKS thread blocks, then these words. */
#define AT_WORD(base) ((base) + BLOCKS * PROG_THREAD_BYTES)
#define AT_TIME(base) (AT_WORD(base) + 64)

static int32_t futex(struct sim_prog *p, uint8_t opcode, uaddr_t at, uint32_t value)
{
	struct io_uring_sqe sqe = { .opcode = opcode,
				    .fd = FUTEX_FLAGS,
				    .addr = at,
				    .off = value,
				    .addr3 = UINT32_MAX,
				    .user_data = 7 };

	return prog_do(p, &sqe, NULL);
}

static void join(struct sim_prog *p, uaddr_t block)
{
	uint32_t tid;

	while ((tid = prog_load(p, prog_thread_word(block))) != 0) {
		int32_t res = futex(p, IORING_OP_FUTEX_WAIT, prog_thread_word(block), tid);

		sim_check(res == 0 || res == -EAGAIN);
	}
}

/* Passes a token on: the word counts up, each turn is one thread's. */
static void takes_turns(struct sim_prog *p)
{
	uaddr_t word = AT_WORD((uaddr_t)(uintptr_t)p->arg & ~(uaddr_t)1);
	uint32_t mine = (uint32_t)((uintptr_t)p->arg & 1);

	for (unsigned i = 0; i < 10; i++) {
		uint32_t now;

		while (((now = prog_load(p, word)) & 1) != mine) {
			int32_t res = futex(p, IORING_OP_FUTEX_WAIT, word, now);

			sim_check(res == 0 || res == -EAGAIN);
		}
		prog_store(p, word, now + 1);
		sim_check(futex(p, IORING_OP_FUTEX_WAKE, word, 1) >= 0);
	}
}

static void turns_main(struct sim_prog *p)
{
	uaddr_t base = prog_map(p, 2 * PAGE_SIZE);

	for (unsigned i = 0; i < 2; i++)
		sim_check(prog_thread(p, takes_turns, (void *)(uintptr_t)(base + i),
				      base + i * PROG_THREAD_BYTES, 1 + i) > 0);
	for (unsigned i = 0; i < 2; i++)
		join(p, base + i * PROG_THREAD_BYTES);
	sim_check(prog_load(p, AT_WORD(base)) == 20);
}

/* Nobody waits for a clock here, so all cores asleep is a lost wake-up. */
static void turns(void)
{
	sim_busy = true;
	sim_spawn(turns_main, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* ---- comings and goings */

static void does_something(struct sim_prog *p)
{
	uaddr_t base = (uaddr_t)(uintptr_t)p->arg;
	struct io_uring_sqe nop = { .opcode = IORING_OP_NOP };
	struct io_uring_sqe hour = { .opcode = IORING_OP_TIMEOUT, .addr = AT_TIME(base), .len = 1 };
	struct io_uring_sqe wait = { .opcode = IORING_OP_FUTEX_WAIT,
				     .fd = FUTEX_FLAGS,
				     .addr = AT_WORD(base),
				     .addr3 = UINT32_MAX };

	for (uint64_t n = sim_below(6); n; n--)
		sim_check(prog_do(p, &nop, NULL) == 0);
	if (sim_chance(2)) {
		prog_sqe(p, &hour);
		prog_sqe(p, &wait);
		prog_submit(p);
	}
	switch (sim_below(6)) {
	case 0: /* by its ring, then it waits for an answer that may come */
		for (nop = (struct io_uring_sqe){ .opcode = IORING_OP_SYSCALL, .fd = SYS_exit };;) {
			prog_sqe(p, &nop);
			prog_submit(p);
			prog_wait(p, 1000);
		}
	case 1:
		prog_thread_exit(p, 3);
	case 2: /* waits: told to end it never is, only its process ends */
		if (sim_chance(8))
			for (;;)
				prog_wait(p, 1000);
		return;
	default:
		return;
	}
}

/* arg: NULL joins all and ends well; else it ends somehow. */
static void comes_and_goes(struct sim_prog *p)
{
	uaddr_t base = prog_map(p, 2 * PAGE_SIZE);
	struct __kernel_timespec hour = { .tv_sec = 3600 };
	bool started[BLOCKS] = { false };

	prog_write(p, AT_TIME(base), &hour, sizeof(hour));
	for (uint64_t n = 3 + sim_below(20); n; n--) {
		unsigned i = (unsigned)sim_below(BLOCKS);
		uaddr_t block = base + i * PROG_THREAD_BYTES;
		struct sluice_start start;
		int32_t res;

		if (started[i] && prog_load(p, prog_thread_word(block)))
			continue;
		if (started[i]) {
			struct io_uring_sqe close = { .opcode = IORING_OP_CLOSE };

			prog_read(p, block + 128, &start, sizeof(start));
			close.fd = start.ring_fd;
			sim_check(prog_do(p, &close, NULL) == 0);
		}
		res = prog_thread(p, does_something, (void *)(uintptr_t)base, block,
				  sim_chance(2) ? SLUICE_ANY_CORE : 1 + (uint32_t)sim_below(2));
		sim_check(res > 0 || res == -ENOMEM || res == -EAGAIN);
		started[i] = res > 0;
	}
	if (sim_chance(3))
		prog_thread_exit(p, 0); /* the others go on */
	if (sim_chance(2))
		prog_exit(p, 0);
	for (unsigned i = 0; i < BLOCKS && sim_chance(5); i++)
		if (started[i])
			join(p, base + i * PROG_THREAD_BYTES);
}

/* Some threads wait for ever, so what is left is killed. */
static void several(void)
{
	struct process *p[3];

	for (unsigned i = 0; i < 3; i++)
		p[i] = sim_spawn(comes_and_goes, NULL, 1 + i % 2, 0);
	sim_for(20000000 + sim_below(20000000));
	for (unsigned i = 0; i < 3; i++)
		sim_kill(p[i]);
	sim_finish();
}

static void killed(void)
{
	struct process *p[3];

	for (unsigned i = 0; i < 3; i++)
		p[i] = sim_spawn(comes_and_goes, NULL, 1 + i % 2, 0);
	for (unsigned i = 0; i < 3; i++) {
		sim_for(sim_below(3000000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "threads take turns", .run = turns, .cores = 3 },
		{ .name = "threads come and go", .run = several, .cores = 3, .seeds = 40 },
		{ .name = "threads of killed programs", .run = killed, .cores = 3, .seeds = 60 },
		{ .name = "threads, mixed core",
		  .run = killed,
		  .cores = 3,
		  .seeds = 40,
		  .cmdline = "map=0:mixed,1:user,2:user" },
	};

	return sim_main(tests, array_count(tests));
}
