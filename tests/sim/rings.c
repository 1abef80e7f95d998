/*
 * Are rings that a program makes itself as good as the one it was born with, and does nothing stay
 * behind when they are closed, unmapped or left with operations in flight, in any order?
 */
#include <string.h>

#include "lib/prog.h"
#include "ring/internal.h"
#include "uapi/errno.h"
#include "uapi/mman.h"
#include "uapi/syscall.h"
#include "uapi/time.h"

struct made {
	struct sim_prog view; /* the program, looking at this ring instead of its first one */
	uaddr_t ring, sqes;
	uint64_t ring_len, sqes_len;
};

static int64_t enter(struct sim_prog *p, int64_t nr, uint64_t a0, uint64_t a1)
{
	return prog_enter(p, nr, a0, a1, 0, 0, 0, 0);
}

static uaddr_t map_ring(struct sim_prog *p, int fd, uint64_t len, uint64_t off)
{
	int64_t at = prog_enter(p, SYS_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
				(uint64_t)fd, off);

	sim_check(at > 0);
	return (uaddr_t)at;
}

/* A ring with random sizes and flags; what is refused must be refused for a reason. */
static bool ring_make(struct sim_prog *p, uaddr_t at, struct made *m)
{
	bool mixed = !(p->start.params.flags & IORING_SETUP_SQPOLL);
	struct io_uring_params params = { .flags = IORING_SETUP_NO_SQARRAY };
	uint32_t entries = 1 + (uint32_t)sim_below(64);
	int64_t fd;

	if (sim_chance(2))
		params.flags |= IORING_SETUP_SQPOLL;
	if (sim_chance(3)) {
		params.flags |= IORING_SETUP_CQSIZE;
		params.cq_entries = entries * (uint32_t)(1 + sim_below(4));
	}
	prog_write(p, at, &params, sizeof(params));
	fd = enter(p, SYS_io_uring_setup, entries, at);
	if (mixed && (params.flags & IORING_SETUP_SQPOLL)) {
		sim_check(fd == -EINVAL);
		return false;
	}
	if (fd == -ENOMEM) /* rings of the core are bounded, and neighbours have some */
		return false;
	sim_check(fd > 3);
	prog_read(p, at, &params, sizeof(params));
	sim_check(params.sq_entries >= entries && params.cq_entries >= params.sq_entries);
	m->ring_len = align_up(params.cq_off.cqes + params.cq_entries * 16ull, PAGE_SIZE);
	m->sqes_len = align_up(params.sq_entries * 64ull, PAGE_SIZE);
	m->ring = map_ring(p, (int)fd, m->ring_len, IORING_OFF_SQ_RING);
	m->sqes = map_ring(p, (int)fd, m->sqes_len, IORING_OFF_SQES);
	m->view = *p;
	m->view.start.ring_fd = (int32_t)fd;
	m->view.start.params = params;
	m->view.start.sq_ring = m->view.start.cq_ring = m->ring;
	m->view.start.sqes = m->sqes;
	m->view.sq_tail = m->view.cq_head = 0;
	return true;
}

static void ring_use(struct made *m)
{
	struct sim_prog *p = &m->view;
	uint32_t sent = 0, got = 0, want = (uint32_t)sim_below(80);

	while (got < want) {
		struct io_uring_cqe cqe;

		while (sent < want && !sim_chance(6)) {
			struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = sent };

			if (!prog_sqe(p, &sqe))
				break;
			sent++;
		}
		prog_submit(p);
		if (sent == got)
			continue;
		prog_wait_cqe(p, &cqe);
		do {
			sim_check(cqe.res == 0 && cqe.user_data == got);
			got++;
		} while (prog_cqe(p, &cqe));
	}
}

/* A core looks at its most urgent rings first, however often their priorities change. */
static void rings_in_order(void)
{
	for (unsigned i = 0; i < CORES_MAX; i++) {
		uint32_t last = 0;

		if (!cores[i] || !cores[i]->rings || cores[i]->rings->unsorted)
			continue;
		list_for_each(pos, &cores[i]->rings->rings) {
			uint32_t priority = ring_priority(list_item(pos, struct ring, link));

			sim_check(priority >= last);
			last = priority;
		}
	}
}

static void ring_hurry(struct sim_prog *p, struct made *m)
{
	uint16_t ioprio = sluice_ioprio((unsigned)sim_below(SLUICE_PRIORITIES), 0);

	sim_check(prog_enter(p, SYS_io_uring_register, (uint64_t)m->view.start.ring_fd,
			     SLUICE_REGISTER_PRIORITY, 0, sim_chance(4) ? 0 : ioprio, 0, 0) == 0);
}

/* Operations that nobody will finish. */
static void ring_burden(struct made *m, uaddr_t at)
{
	struct __kernel_timespec hour = { .tv_sec = 3600 };
	struct sim_prog *p = &m->view;

	prog_write(p, at, &hour, sizeof(hour));
	for (uint64_t n = sim_below(12); n; n--) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_TIMEOUT, .addr = at, .len = 1 };

		if (sim_chance(2))
			sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ,
						     .fd = 0,
						     .addr = at + 64,
						     .len = 100,
						     .off = (uint64_t)-1 };
		if (sim_chance(3))
			sqe.flags |= IOSQE_IO_LINK;
		if (sim_chance(5))
			sqe.flags |= IOSQE_IO_DRAIN;
		if (!prog_sqe(p, &sqe))
			break;
	}
	prog_submit(p);
}

/* Close, and unmap both parts, in any order, or forget some of it. */
static void ring_leave(struct sim_prog *p, struct made *m)
{
	struct io_uring_sqe close = { .opcode = IORING_OP_CLOSE, .user_data = 1000 };
	unsigned first = (unsigned)sim_below(3);

	for (unsigned i = 0; i < 3; i++) {
		if (sim_chance(6))
			continue;
		switch ((first + i) % 3) {
		case 0:
			close.fd = m->view.start.ring_fd;
			sim_check(prog_do(p, &close, NULL) == 0);
			break;
		case 1:
			sim_check(enter(p, SYS_munmap, m->ring, m->ring_len) == 0);
			break;
		case 2:
			sim_check(enter(p, SYS_munmap, m->sqes, m->sqes_len) == 0);
		}
	}
}

static void makes_rings(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);

	for (unsigned n = 0; n < 12; n++) {
		struct made m;

		if (!ring_make(p, at, &m))
			continue;
		if (sim_chance(2))
			ring_hurry(p, &m);
		ring_use(&m);
		rings_in_order();
		if (sim_chance(2))
			ring_burden(&m, at + 1024);
		ring_leave(p, &m);
		/* its first ring is still there */
		if (sim_chance(3)) {
			struct io_uring_sqe nop = { .opcode = IORING_OP_NOP, .user_data = n };

			sim_check(prog_do(p, &nop, NULL) == 0);
		}
	}
}

/* Closes the ring it was born with, by an entry of that very ring, with others in flight; whether
 * that is allowed or not, the program ends as it should. */
static void closes_first(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct made m = { .view = *p };
	struct io_uring_sqe close = { .opcode = IORING_OP_CLOSE, .fd = p->start.ring_fd };
	int64_t said;

	ring_burden(&m, at);
	sim_check(prog_sqe(&m.view, &close));
	prog_submit(&m.view);
	for (uint64_t n = sim_below(200); n; n--)
		prog_pause(p);
	said = prog_enter(p, SYS_io_uring_enter, (uint64_t)p->start.ring_fd, 0, 0, 0, 0, 0);
	sim_check(said == 0 || said == -EBADF || said == -EBADFD);
}

static void several(void)
{
	for (unsigned i = 0; i < 4; i++)
		sim_spawn(i & 1 ? closes_first : makes_rings, NULL, 1 + i / 2, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void mixed(void)
{
	sim_spawn(makes_rings, NULL, 0, 0);
	sim_spawn(closes_first, NULL, 0, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void killed(void)
{
	struct process *p[4];

	for (unsigned i = 0; i < 4; i++)
		p[i] = sim_spawn(makes_rings, NULL, 1 + i / 2, 0);
	for (unsigned i = 0; i < 4; i++) {
		sim_for(sim_below(600000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "rings made and left", .run = several, .cores = 3 },
		{ .name = "rings on a mixed core", .run = mixed, .cores = 1 },
		{ .name = "rings of killed programs", .run = killed, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
