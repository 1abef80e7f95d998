/*
 * Does a long operation of low priority make way for others, again and again, and still move every
 * byte? What if more of them are interrupted than there are stacks, the file is cut meanwhile, they
 * are cancelled, or their program ends?
 *
 * also: leave
 * ends: exit status 0
 */
#include "tests/abi/lib/text.h"
#include "uapi/fs.h"
#include "uapi/mman.h"

#define FILE_BYTES (4u << 20)
#define WORDS (FILE_BYTES / 8)
#define ROUNDS 30u
#define MANY 40u /* more than there are stacks on a core */
#define ANSWERS_MAX 100000u

enum { WHO_NOP = 1, WHO_LONG, WHO_CANCEL, WHO_MANY = 16 };

static const uint64_t map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
static uint64_t *out, *in; /* what is in the file; what was read */
static int fd;
static uint16_t idle;

static int64_t call(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, ~0ull, 0);
}

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static uint64_t *memory(uint64_t bytes)
{
	int64_t got = call(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, map_flags);

	if (got < 0 && got > -4096)
		ring_die(&ring_native, "FAIL preempt_long: no memory\n");
	return (uint64_t *)(uintptr_t)got;
}

static void fill(uint8_t opcode, uint64_t buf, uint32_t len, uint64_t off, uint64_t who)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, opcode, opcode == IORING_OP_NOP ? -1 : fd, off, buf, len, 0, who);
	sqe->ioprio = opcode == IORING_OP_NOP ? 0 : idle;
}

static void take(uint64_t *who, int64_t *res)
{
	const struct io_uring_cqe *cqe;

	if (ring_wait(&ring_native, 1))
		ring_die(&ring_native, "FAIL preempt_long: the doorbell failed\n");
	cqe = ring_cqe(&ring_native);
	*who = cqe->user_data;
	*res = cqe->flags ? sluice_wide_result(cqe) : cqe->res;
	ring_advance(&ring_native, 1);
}

/* What was filled last is submitted, and NOPs one after another until it is answered: its answer,
 * and how many of them were answered before it. */
static int64_t among_nops(uint64_t *passed)
{
	int64_t long_res = 0, res;
	bool over = false;
	unsigned nops = 0;

	do {
		uint64_t who;

		fill(IORING_OP_NOP, 0, 0, 0, WHO_NOP);
		ring_submit(&ring_native);
		nops++;
		do {
			take(&who, &res);
			if (who == WHO_LONG) {
				long_res = res;
				over = true;
			} else if (res) {
				ring_die(&ring_native, "FAIL preempt_long: a NOP failed\n");
			}
		} while (who != WHO_NOP);
		*passed += !over;
	} while (!over && nops < ANSWERS_MAX);
	return long_res;
}

static bool same(const uint64_t *a, const uint64_t *b, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static void pattern(uint64_t seed)
{
	for (unsigned i = 0; i < WORDS; i++)
		out[i] = (i + seed) * 0x9e3779b97f4a7c15ull;
}

/* Every NOP that is answered first found the core in the middle of the copy. */
static void copies(void)
{
	uint64_t passed_reads = 0, passed_writes = 0, before = (uint64_t)text_counter("degrades");
	unsigned good = 0, rounds = 0;

	for (; rounds < 10 * ROUNDS && (rounds < ROUNDS || passed_reads < 4 * ROUNDS ||
					passed_writes < 4 * ROUNDS);
	     rounds++) {
		pattern(rounds);
		fill(IORING_OP_WRITE, at(out), FILE_BYTES, 0, WHO_LONG);
		good += among_nops(&passed_writes) == FILE_BYTES;
		in[0] = in[WORDS / 2] = in[WORDS - 1] = 0;
		fill(IORING_OP_READ, at(in), FILE_BYTES, 0, WHO_LONG);
		good += among_nops(&passed_reads) == FILE_BYTES && same(in, out, WORDS);
	}
	say_is("every byte arrives", good, 2 * rounds);
	say_true("others pass a read", passed_reads >= 4 * ROUNDS);
	say_true("and a write", passed_writes >= 4 * ROUNDS);
	say_true("which was interrupted for that",
		 (uint64_t)text_counter("degrades") - before > ROUNDS);
}

/* Rounds until somebody has passed often enough: a busy host may let neither run for a while. */
static bool passes(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, int64_t want)
{
	uint64_t passed = 0;

	for (unsigned i = 0; i < 10 * ROUNDS && passed < ROUNDS; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring_native);
		int64_t got;

		ring_fill_syscall(sqe, nr, a0, a1, a2, a3, ~0ull, 0, WHO_LONG);
		sqe->ioprio = idle;
		got = among_nops(&passed);
		if (nr != SYS_mmap) {
			say_is("its answer", got, want);
		} else {
			((uint64_t *)(uintptr_t)got)[WORDS - 1] = 1;
			say_is("pages go", call(SYS_munmap, (uint64_t)got, FILE_BYTES, 0, 0), 0);
		}
	}
	return passed >= ROUNDS;
}

static void others(void)
{
	const uint32_t bytes = FILE_BYTES / 2 + 3;

	for (unsigned i = 0; i < WORDS; i++)
		in[i] = 0;
	say_true("others pass random bytes",
		 passes(SYS_getrandom, at(in), bytes, 0, 0, bytes));
	say_true("no page is like another", !same(in, in + 512, 4) && in[WORDS / 2 - 1] && in[511]);
	say_true("and none too many", !in[WORDS / 2 + 1]);
	say_true("others pass a mapping's pages",
		 passes(SYS_mmap, 0, FILE_BYTES, PROT_READ | PROT_WRITE, map_flags, 0));
}

/* More long operations than stacks: the rest runs uninterrupted, and all of them end. */
static void many(void)
{
	uint64_t before = (uint64_t)text_counter("fibers_short"), ended = 0, who;
	int64_t res;

	pattern(99);
	fill(IORING_OP_WRITE, at(out), FILE_BYTES, 0, 0);
	say_is("written", say_wait(), FILE_BYTES);
	for (unsigned i = 0; i < MANY; i++)
		fill(IORING_OP_READ, at(in), FILE_BYTES, 0, WHO_MANY + i);
	ring_submit(&ring_native);
	for (unsigned i = 0; i < MANY; i++) {
		take(&who, &res);
		if (res == FILE_BYTES)
			ended |= 1ull << (who - WHO_MANY);
	}
	say_is("each of many ends, once", (int64_t)ended, (int64_t)(1ull << MANY) - 1);
	say_true("with what is in the file", same(in, out, WORDS));
	say_true("and stacks ran out", (uint64_t)text_counter("fibers_short") > before);
}

/* A read whose file is cut under it gets what was there, or zeros, or less. */
static void cut(void)
{
	unsigned wrong = 0, is_short = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t who;
		int64_t res, n = 0;

		pattern(i);
		fill(IORING_OP_WRITE, at(out), FILE_BYTES, 0, 0);
		wrong += say_wait() != FILE_BYTES;
		fill(IORING_OP_READ, at(in), FILE_BYTES, 0, WHO_LONG);
		ring_submit(&ring_native);
		for (unsigned j = 0; j < i; j++) {
			fill(IORING_OP_NOP, 0, 0, 0, WHO_NOP);
			ring_submit(&ring_native);
		}
		ring_fill_syscall(ring_sqe(&ring_native), SYS_ftruncate, (uint64_t)fd, 4096, 0, 0,
				  0, 0, WHO_NOP);
		ring_submit(&ring_native);
		for (unsigned j = 0; j < i + 2; j++) {
			take(&who, &res);
			if (who == WHO_LONG)
				n = res;
			else
				wrong += res != 0;
		}
		wrong += n < 4096 || n > FILE_BYTES;
		is_short += n < FILE_BYTES;
		for (int64_t w = 0; w < n / 8; w++)
			wrong += in[w] != out[w] && in[w];
	}
	say_is("a read of a file that is cut", wrong, 0);
	say_true("was in the middle of it", is_short > 0);
}

static void cancelled(void)
{
	unsigned early = 0, wrong = 0;

	fill(IORING_OP_WRITE, at(out), FILE_BYTES, 0, 0);
	say_is("written again", say_wait(), FILE_BYTES);
	for (unsigned i = 0; i < ROUNDS; i++) {
		int64_t res, said = 1, n = 0;
		uint64_t who;

		fill(IORING_OP_READ, at(in), FILE_BYTES, 0, WHO_LONG);
		ring_submit(&ring_native);
		fill(IORING_OP_NOP, 0, 0, 0, WHO_NOP);
		ring_submit(&ring_native);
		ring_fill(ring_sqe(&ring_native), IORING_OP_ASYNC_CANCEL, -1, 0, WHO_LONG, 0, 0,
			  WHO_CANCEL);
		ring_submit(&ring_native);
		for (unsigned j = 0; j < 3; j++) {
			take(&who, &res);
			if (who == WHO_LONG)
				n = res;
			else if (who == WHO_CANCEL)
				said = res;
		}
		if (said == 0)
			early += n == -ECANCELED || (n > 0 && n < FILE_BYTES);
		else
			wrong += said != -ENOENT || n != FILE_BYTES;
	}
	say_is("a cancelled one says how far it came", wrong, 0);
	say_true("and ends early", early > 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)argv;
	idle = sluice_ioprio(7, 0);
	out = memory(FILE_BYTES);
	in = memory(FILE_BYTES);
	fd = (int)call(SYS_memfd_create, at("long"), 0, 0, 0);
	if (fd < 0)
		ring_die(ring, "FAIL preempt_long: no file\n");
	if (argc > 1) { /* ends with many of them interrupted */
		fill(IORING_OP_WRITE, at(out), FILE_BYTES, 0, 0);
		say_wait();
		for (unsigned i = 0; i < MANY; i++)
			fill(IORING_OP_READ, at(in), FILE_BYTES, 0, WHO_MANY + i);
		fill(IORING_OP_NOP, 0, 0, 0, WHO_NOP);
		ring_submit(ring);
		ring_wait(ring, 2);
		return 0;
	}
	copies();
	others();
	many();
	cut();
	cancelled();
	return say_verdict();
}
