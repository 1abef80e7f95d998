/*
 * Seven questions about order that random programs asked first (campaign.c), each alone. Does a
 * drain wait for members of a chain that have not begun? Does a hard link carry on past the guard
 * of an entry that never began? Is a timeout that was meant to expire a success? Does a timeout
 * that was said to be removed end as removed, even if its count is reached in the same moment? Can
 * one ring's multishot that nobody reaps leave the others without operations? Is a buffer that was
 * taken for nothing named or put back? Who answers for a broken chain in which some answer only
 * when they fail?
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/syscall.h"
#include "uapi/time.h"

static struct io_uring_sqe timeout(struct sim_prog *p, uaddr_t at, nsec_t ns, uint64_t user_data)
{
	struct __kernel_timespec ts = { .tv_nsec = (int64_t)ns };

	prog_write(p, at, &ts, sizeof(ts));
	return (struct io_uring_sqe){
		.opcode = IORING_OP_TIMEOUT, .addr = at, .len = 1, .user_data = user_data
	};
}

static void push(struct sim_prog *p, struct io_uring_sqe sqe)
{
	sim_check(prog_sqe(p, &sqe));
}

/* The next completion is this one. */
static void expect(struct sim_prog *p, uint64_t user_data, int32_t res)
{
	struct io_uring_cqe cqe;

	prog_wait_cqe(p, &cqe);
	if (cqe.user_data != user_data || cqe.res != res)
		sim_fail("%llu came with %d, not %llu with %d",
			 (unsigned long long)cqe.user_data, cqe.res,
			 (unsigned long long)user_data, res);
}

static void drains(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe first = timeout(p, at, 30000, 1),
			    second = timeout(p, at + 16, 30000, 2);

	first.flags = IOSQE_IO_HARDLINK;
	push(p, first);
	push(p, second);
	push(p, (struct io_uring_sqe){ .flags = IOSQE_IO_DRAIN, .user_data = 3 });
	push(p, (struct io_uring_sqe){ .user_data = 4 });
	prog_submit(p);
	expect(p, 1, -ETIME);
	expect(p, 2, -ETIME);
	expect(p, 3, 0);
	expect(p, 4, 0);
}

static void guards(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe guard = timeout(p, at, 1000000, 2);

	guard.opcode = IORING_OP_LINK_TIMEOUT;
	guard.flags = IOSQE_IO_HARDLINK;
	push(p, (struct io_uring_sqe){ .opcode = IORING_OP_FSYNC,
				       .flags = IOSQE_IO_HARDLINK,
				       .fd = 1000,
				       .user_data = 1 });
	push(p, guard);
	push(p, (struct io_uring_sqe){ .user_data = 3 });
	prog_submit(p);
	expect(p, 1, -EBADF);
	expect(p, 2, -ECANCELED);
	expect(p, 3, 0);
}

static void expires(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);

	for (unsigned success = 0; success < 2; success++) {
		struct io_uring_sqe sqe = timeout(p, at, 20000, 1);

		sqe.flags = IOSQE_IO_LINK;
		sqe.timeout_flags = success ? IORING_TIMEOUT_ETIME_SUCCESS : 0;
		push(p, sqe);
		push(p, (struct io_uring_sqe){ .user_data = 2 });
		prog_submit(p);
		expect(p, 1, -ETIME);
		expect(p, 2, success ? 0 : -ECANCELED);
	}
}

/* The removal's answer is the one that the timeout counts. */
static void counts(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe sqe = timeout(p, at, 500000000, 1);

	sqe.off = 1;
	push(p, sqe);
	push(p, (struct io_uring_sqe){ .user_data = 2 });
	push(p, (struct io_uring_sqe){
			.opcode = IORING_OP_TIMEOUT_REMOVE, .addr = 1, .user_data = 3 });
	prog_submit(p);
	for (unsigned i = 0; i < 3; i++) {
		static int32_t removed;
		struct io_uring_cqe cqe;

		prog_wait_cqe(p, &cqe);
		if (cqe.user_data == 3)
			removed = cqe.res;
		if (cqe.user_data == 1)
			sim_check(cqe.res == (removed ? 0 : -ECANCELED));
	}
}

/* Its answers fill the CQ, 1024, and then what may be held back; a stranger still gets his. */
static void floods(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe sqe = timeout(p, at, 1000, 1);

	sqe.timeout_flags = IORING_TIMEOUT_MULTISHOT;
	push(p, sqe);
	prog_submit(p);
	*(bool *)p->arg = true;
	for (;;)
		prog_pause(p);
}

static void stranger(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);

	/* something that has to wait, so that the core's hand is not enough */
	for (unsigned i = 0; i < 5; i++) {
		push(p, timeout(p, at, 1000, i));
		push(p, timeout(p, at, 1000, i));
		prog_submit(p);
		expect(p, i, -ETIME);
		expect(p, i, -ETIME);
	}
}

static void alone(void (*main)(struct sim_prog *p))
{
	sim_spawn(main, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void drain_test(void)
{
	alone(drains);
}

static void guard_test(void)
{
	alone(guards);
}

static void expire_test(void)
{
	alone(expires);
}

static void count_test(void)
{
	alone(counts);
}

static void flood_test(void)
{
	static bool begun;
	struct process *p = sim_spawn(floods, &begun, 1, 0);

	sim_for(30000000); /* more than 1,024 and 256 answers */
	sim_spawn(stranger, NULL, 1, 0);
	sim_for(30000000);
	sim_check(sim_alive() == 1);
	sim_kill(p);
	sim_finish();
}

/* Reads in flight together, of which the disk fails some: a buffer that is not the newest cannot be
 * put back. */
static void buffers(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, 2 * PAGE_SIZE), group = at + PAGE_SIZE;
	struct io_uring_buf_reg reg = { .ring_addr = group, .ring_entries = 8, .bgid = 7 };
	struct io_uring_buf_status status = { .buf_group = 7 };
	struct io_uring_sqe open = { .opcode = IORING_OP_OPENAT,
				     .fd = AT_FDCWD,
				     .addr = at,
				     .open_flags = O_RDWR,
				     .user_data = 1 };
	uint16_t tail = 8;
	uint32_t named = 0;
	int fd;

	prog_write(p, at, "/dev/vda", 9);
	fd = prog_do(p, &open, NULL);
	sim_check(fd > 2);
	for (unsigned i = 0; i < 8; i++) {
		struct io_uring_buf buf = { .addr = at, .len = 512, .bid = (uint16_t)i };

		prog_write(p, group + i * sizeof(buf), &buf, 14);
	}
	prog_write(p, group + 14, &tail, 2);
	prog_write(p, at, &reg, sizeof(reg));
	sim_check(prog_enter(p, SYS_io_uring_register, (uint64_t)p->start.ring_fd,
			     IORING_REGISTER_PBUF_RING, at, 1, 0, 0) == 0);
	for (unsigned i = 0; i < 6; i++)
		push(p, (struct io_uring_sqe){ .opcode = IORING_OP_READ,
					       .flags = IOSQE_BUFFER_SELECT,
					       .fd = fd,
					       .len = 512,
					       .buf_group = 7,
					       .user_data = 2 });
	prog_submit(p);
	for (unsigned i = 0; i < 6; i++) {
		struct io_uring_cqe cqe;

		prog_wait_cqe(p, &cqe);
		sim_check(cqe.res == 512 || cqe.res == -EIO);
		named += cqe.flags & IORING_CQE_F_BUFFER;
	}
	prog_write(p, at, &status, sizeof(status));
	sim_check(prog_enter(p, SYS_io_uring_register, (uint64_t)p->start.ring_fd,
			     IORING_REGISTER_PBUF_STATUS, at, 1, 0, 0) == 0);
	prog_read(p, at, &status, sizeof(status));
	sim_check(status.head == named);
}

static void buffer_test(void)
{
	sim_disk.eio_permille = 500;
	alone(buffers);
}

/* What Linux 6.18 answered to the same entries. */
static void hushes(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe lost = { .opcode = IORING_OP_READ, .fd = 99, .addr = at, .len = 4,
				     .user_data = 1 },
			    guard = timeout(p, at + 64, 1000000, 2);
	const struct io_uring_sqe second = { .flags = IOSQE_IO_LINK, .user_data = 2 },
				  last = { .user_data = 3 };

	guard.opcode = IORING_OP_LINK_TIMEOUT;

	/* it breaks the chain, and answers for the rest */
	lost.flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	push(p, lost), push(p, second), push(p, last), prog_submit(p);
	expect(p, 1, -EBADF);

	/* so it does when its chain never begins */
	push(p, (struct io_uring_sqe){ .flags = lost.flags, .user_data = 1 });
	push(p, (struct io_uring_sqe){ .flags = IOSQE_IO_LINK, .ioprio = 77, .user_data = 2 });
	push(p, last), prog_submit(p);
	expect(p, 1, -ECANCELED);

	/* the guard between is no member: it answers */
	guard.flags = IOSQE_IO_LINK;
	push(p, lost), push(p, guard), push(p, last), prog_submit(p);
	expect(p, 1, -EBADF), expect(p, 2, -ECANCELED);

	/* a guard never fails */
	lost.flags = IOSQE_IO_LINK, guard.flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	push(p, lost), push(p, guard), push(p, last), prog_submit(p);
	expect(p, 1, -EBADF), expect(p, 3, -ECANCELED);

	/* behind one that always answers, all do */
	push(p, lost), push(p, (struct io_uring_sqe){ .flags = guard.flags, .user_data = 2 });
	push(p, last), prog_submit(p);
	expect(p, 1, -EBADF), expect(p, 2, -ECANCELED), expect(p, 3, -ECANCELED);

	/* the guarded entry's link is hard or soft; the guard's own says nothing */
	guard.flags = IOSQE_IO_HARDLINK;
	push(p, lost), push(p, guard), push(p, last), prog_submit(p);
	expect(p, 1, -EBADF), expect(p, 2, -ECANCELED), expect(p, 3, -ECANCELED);
	lost.flags = IOSQE_IO_HARDLINK, guard.flags = IOSQE_IO_LINK;
	push(p, lost), push(p, guard), push(p, last), prog_submit(p);
	expect(p, 1, -EBADF), expect(p, 2, -ECANCELED), expect(p, 3, 0);
}

static void hush_test(void)
{
	alone(hushes);
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "order drain behind a chain", .run = drain_test, .cores = 2 },
		{ .name = "order hard link past a guard", .run = guard_test, .cores = 2 },
		{ .name = "order timeout that may expire", .run = expire_test, .cores = 2 },
		{ .name = "order removed and counted", .run = count_test, .cores = 2 },
		{ .name = "order who answers for a broken chain", .run = hush_test, .cores = 2 },
		{ .name = "order a flood and a stranger", .run = flood_test, .cores = 2 },
		{ .name = "order buffers named or put back",
		  .run = buffer_test,
		  .cores = 2,
		  .disk_sectors = 256 },
	};

	return sim_main(tests, array_count(tests));
}
