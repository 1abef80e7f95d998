/*
 * Does a long step that is interrupted in any of its windows move the right bytes, once, and end as
 * promised when it is cancelled, when its file is cut under it, when there are more of them than
 * stacks, when it is given to another core, and when its program dies?
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/mman.h"
#include "uapi/syscall.h"

#define LEN_MAX (400u << 10)
#define MANY 24u /* more than a core has stacks */

#define TWO "map=0:kernel,1:user,2:kernel,3:user"

enum { NOP = 1, LONG, CANCEL, CUT, FIRST_OF_MANY = 16 };

/* of the files and of most reads; so long that they are worth giving away: LEN_MAX */
static uint32_t len = 160u << 10;

struct copying {
	int fd;
	uaddr_t out, in;
	uint8_t bytes[LEN_MAX];
};

static uint16_t any_priority(void)
{
	return sim_chance(4) ? 0 : sluice_ioprio((unsigned)sim_below(SLUICE_PRIORITIES), 0);
}

static void push_long(struct sim_prog *p, const struct copying *k, bool write, uint32_t n,
		      uint64_t user_data)
{
	struct io_uring_sqe sqe = { .opcode = write ? IORING_OP_WRITE : IORING_OP_READ,
				    .ioprio = any_priority(),
				    .fd = k->fd,
				    .addr = write ? k->out : k->in,
				    .len = n,
				    .user_data = user_data };

	sim_check(prog_sqe(p, &sqe));
}

static void begin(struct sim_prog *p, struct copying *k)
{
	int64_t fd;

	k->out = prog_map(p, len);
	k->in = prog_map(p, len);
	prog_write(p, k->in, "long", 5);
	fd = prog_call(p, SYS_memfd_create, k->in, 0, 0, 0, 0, 0);
	sim_check(fd > 3);
	k->fd = (int)fd;
}

static void refill(struct sim_prog *p, struct copying *k)
{
	struct io_uring_cqe cqe;

	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t word = sim_random();

		memcpy(k->bytes + i, &word, 8);
	}
	for (uint32_t at = 0; at < len; at += 1024)
		prog_write(p, k->out + at, k->bytes + at, 1024);
	push_long(p, k, true, len, LONG);
	prog_submit(p);
	prog_wait_cqe(p, &cqe);
	sim_check(cqe.user_data == LONG && cqe.res == (int32_t)len);
}

/* [0, n) of what was read is the file's, or zeros where it may have been cut. */
static void compare(struct sim_prog *p, struct copying *k, uint32_t n, bool may_be_cut)
{
	uint8_t got[1024];

	for (uint32_t at = 0; at < n; at += 1024) {
		uint32_t piece = min_of(n - at, 1024u);

		prog_read(p, k->in + at, got, piece);
		for (uint32_t i = 0; i < piece; i++)
			sim_check(got[i] == k->bytes[at + i] || (may_be_cut && !got[i]));
	}
}

static void read_among_others(struct sim_prog *p, struct copying *k)
{
	unsigned nops = (unsigned)sim_below(6), wait = nops + 1;
	bool cut = sim_chance(3), cancel = sim_chance(3);
	int32_t said = -1, n = 0;

	push_long(p, k, false, len, LONG);
	if (sim_chance(2))
		prog_submit(p);
	for (unsigned i = 0; i < nops; i++) {
		sim_check(prog_sqe(p, &(struct io_uring_sqe){ .user_data = NOP }));
		if (sim_chance(2))
			prog_submit(p);
	}
	if (cut) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_FTRUNCATE,
					    .fd = k->fd,
					    .off = sim_below(len),
					    .user_data = CUT };
		sim_check(prog_sqe(p, &sqe));
		wait++;
	}
	if (cancel) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_ASYNC_CANCEL,
					    .addr = LONG,
					    .user_data = CANCEL };
		sim_check(prog_sqe(p, &sqe));
		wait++;
	}
	prog_submit(p);
	while (wait--) {
		struct io_uring_cqe cqe;

		prog_wait_cqe(p, &cqe);
		if (cqe.user_data == LONG)
			n = cqe.res;
		else if (cqe.user_data == CANCEL)
			said = cqe.res;
		else
			sim_check(cqe.res == 0);
	}
	if (cancel)
		sim_check(said == 0 || said == -ENOENT);
	if (n == -ECANCELED)
		sim_check(said == 0);
	else
		sim_check(n >= 0 && n <= (int32_t)len && (cut || said == 0 || n == (int32_t)len));
	if (n > 0)
		compare(p, k, (uint32_t)n, cut);
	if (cut)
		refill(p, k);
}

static void copies(struct sim_prog *p)
{
	struct copying *k = p->arg;

	begin(p, k);
	refill(p, k);
	for (unsigned round = 0; round < 6; round++)
		read_among_others(p, k);
}

static void many(struct sim_prog *p)
{
	struct copying *k = p->arg;
	uint64_t ended = 0;

	begin(p, k);
	refill(p, k);
	for (unsigned i = 0; i < MANY; i++)
		push_long(p, k, false, 33000 + (uint32_t)sim_below(60000), FIRST_OF_MANY + i);
	prog_submit(p);
	for (unsigned i = 0; i < MANY; i++) {
		struct io_uring_cqe cqe;

		prog_wait_cqe(p, &cqe);
		sim_check(cqe.res >= 33000);
		ended |= 1ull << (cqe.user_data - FIRST_OF_MANY);
	}
	sim_check(ended == (1ull << MANY) - 1);
	compare(p, k, 33000, false);
}

static struct copying room[3];

static void several(void)
{
	for (unsigned i = 0; i < 3; i++)
		sim_spawn(i == 2 ? many : copies, &room[i], 1 + i % 2, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void mixed(void)
{
	sim_spawn(copies, &room[0], 0, 0);
	sim_spawn(many, &room[1], 0, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void killed(void)
{
	struct process *p[3];

	for (unsigned i = 0; i < 3; i++)
		p[i] = sim_spawn(i == 2 ? many : copies, &room[i], 1 + i % 2, 0);
	for (unsigned i = 0; i < 3; i++) {
		sim_for(sim_below(900000));
		sim_kill(p[i]);
	}
	sim_finish();
}

/* ---- ranges of memory ------------------------------------------------------------------------ */

#define PAGES 900u /* some pieces (mm/aspace.c) */
#define RANGE ((uint64_t)PAGES * PAGE_SIZE)

enum { RANGE_CALL = 8 };

static void push_call(struct sim_prog *p, uint16_t nr, const uint64_t a[6])
{
	struct sluice_syscall_sqe sqe = { .opcode = IORING_OP_SYSCALL, .nr = nr,
					  .user_data = RANGE_CALL, .a0 = a[0], .a1 = a[1],
					  .a2 = a[2], .a3 = a[3], .a4 = a[4], .a5 = a[5] };

	sim_check(prog_sqe(p, (struct io_uring_sqe *)&sqe));
}

/* The call among NOPs; its result. */
static int32_t range_call(struct sim_prog *p, uint16_t nr, uint64_t a0, uint64_t a2, uint64_t a3)
{
	const uint64_t a[6] = { a0, RANGE, a2, a3, UINT64_MAX, 0 };
	unsigned nops = (unsigned)sim_below(5);
	int32_t res = -1;

	push_call(p, nr, a);
	for (unsigned i = 0; i < nops; i++)
		sim_check(prog_sqe(p, &(struct io_uring_sqe){ .user_data = NOP }));
	prog_submit(p);
	for (unsigned i = 0; i <= nops; i++) {
		struct io_uring_cqe cqe;

		prog_wait_cqe(p, &cqe);
		if (cqe.user_data == RANGE_CALL)
			res = cqe.res;
	}
	return res;
}

static void words(struct sim_prog *p, uaddr_t at, bool write, bool zero)
{
	for (uint32_t i = 0; i < PAGES; i += 1 + (uint32_t)sim_below(20)) {
		uint32_t word = i + 1;

		if (write)
			prog_write(p, at + (uint64_t)i * PAGE_SIZE, &word, sizeof(word));
		prog_read(p, at + (uint64_t)i * PAGE_SIZE, &word, sizeof(word));
		sim_check(zero ? !word : word == i + 1 || (!write && !word));
	}
}

/* Rights, pages and the range itself taken away in many pieces, with others in between: is
 * everything as it was asked for when the answer comes, and nothing before? */
static void ranges(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, RANGE);

	for (unsigned round = 0; round < 2; round++) {
		words(p, at, true, false);
		sim_check(!range_call(p, SYS_mprotect, at, PROT_READ, 0));
		for (uint32_t i = 0; i < PAGES; i += 100) /* nobody may write it any more */
			sim_check(prog_enter(p, SYS_clock_gettime, 0,
					     at + (uint64_t)i * PAGE_SIZE, 0, 0, 0, 0) == -EFAULT);
		words(p, at, false, false);
		sim_check(!range_call(p, SYS_mprotect, at, PROT_READ | PROT_WRITE, 0));
		words(p, at, true, false);
		sim_check(!range_call(p, SYS_madvise, at, MADV_DONTNEED, 0));
		words(p, at, false, true);
		words(p, at, true, false);
		sim_check(range_call(p, SYS_mmap, at, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (int32_t)at);
		words(p, at, false, true);
		words(p, at, true, false);
	}
	sim_check(!range_call(p, SYS_munmap, at, 0, 0));
	for (uint32_t i = 0; i < PAGES; i += 50)
		sim_check(prog_enter(p, SYS_clock_gettime, 0, at + (uint64_t)i * PAGE_SIZE, 0, 0, 0,
				     0) == -EFAULT);
}

static void in_pieces(void)
{
	sim_spawn(ranges, NULL, 1, 0);
	sim_spawn(copies, &room[0], 2, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* ---- given away ------------------------------------------------------------------------------ */

static void give(void *arg)
{
	(void)arg;
	op_give(cores[0], 2, sim_below(100000));
}

static void give_sometimes(void)
{
	if (sim_chance(2))
		sim_on_core(0, give, NULL);
}

/* The programs' core gives to another whatever it may, at any moment. */
static void given(void)
{
	struct counters sum;

	len = LEN_MAX;
	for (unsigned i = 0; i < 2; i++)
		sim_spawn(copies, &room[i], 1 + 2 * i, 0);
	sim_between = give_sometimes;
	sim_finish();
	sim_check(!sim_failed_programs());
	counters_sum(&sum);
	sim_check(sum.ops_given);
}

static void given_and_killed(void)
{
	struct process *p[2];

	len = LEN_MAX;
	for (unsigned i = 0; i < 2; i++)
		p[i] = sim_spawn(copies, &room[i], 1 + 2 * i, 0);
	sim_between = give_sometimes;
	for (unsigned i = 0; i < 2; i++) {
		sim_for(sim_below(900000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "preempted steps", .run = several, .cores = 3 },
		{ .name = "preempted on a mixed core", .run = mixed, .cores = 1 },
		{ .name = "preempted and killed", .run = killed, .cores = 3 },
		{ .name = "ranges in pieces", .run = in_pieces, .cores = 3 },
		{ .name = "preempted and given away", .run = given, .cores = 4, .cmdline = TWO },
		{ .name = "given away and killed", .run = given_and_killed, .cores = 4,
		  .cmdline = TWO },
	};

	return sim_main(tests, array_count(tests));
}
