/*
 * Can a program that submits anything at all, scribbles over its ring while it is read, and takes
 * memory away from under its operations hurt anybody but itself? The kernel must not panic,
 * neighbours must get exactly their answers, and everything must come back.
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"

struct target {
	uaddr_t mapped; /* 8 pages: 4 writable, 1 read-only, 1 without rights, 2 gone */
};

static uint64_t any_address(struct sim_prog *p, const struct target *t)
{
	switch (sim_below(9)) {
	case 0:
		return 0;
	case 1:
		return HOSTED_DIRECT + HOSTED_RAM_BASE + sim_below(1 << 20);
	case 2:
		return UINT64_MAX - sim_below(8192);
	case 3:
		return p->start.sq_ring + sim_below(8192);
	case 4:
		return p->start.sqes + sim_below(16384);
	case 5:
		return p->stack - 4096 + sim_below(8192);
	case 6:
		return sim_random();
	default:
		return t->mapped + sim_below(8 * PAGE_SIZE);
	}
}

static uint64_t any_number(struct sim_prog *p, const struct target *t)
{
	switch (sim_below(6)) {
	case 0:
		return any_address(p, t);
	case 1:
		return sim_random();
	case 2:
		return UINT64_MAX - sim_below(4);
	default:
		return sim_below(sim_chance(2) ? 8 : 100000);
	}
}

/* An entry that means something: every family, with descriptors, buffers and vectors that exist. */
static struct io_uring_sqe good_sqe(struct sim_prog *p, const struct target *t)
{
	static const uint8_t transfers[] = { IORING_OP_READ, IORING_OP_WRITE, IORING_OP_SEND,
					     IORING_OP_RECV };
	static const uint8_t vectors[] = { IORING_OP_READV, IORING_OP_WRITEV };
	static const uint16_t calls[] = { 222, 215, 226, 233, 214, 113, 278, 101, 172, 178,
					  19,  23,  24,  62,  63,  64,  65,  66,  425, 427 };
	uaddr_t buf = t->mapped + sim_below(3 * PAGE_SIZE), vec = t->mapped + 3 * PAGE_SIZE;
	struct io_uring_sqe sqe = { .fd = (int32_t)sim_below(9) };
	struct sluice_syscall_sqe call = { .opcode = IORING_OP_SYSCALL };

	switch (sim_below(20)) {
	case 0 ... 3:
		sqe.opcode = transfers[sim_below(4)];
		sqe.addr = buf;
		sqe.len = (uint32_t)sim_below(20000);
		if (sqe.opcode == IORING_OP_READ || sqe.opcode == IORING_OP_WRITE)
			sqe.off = sim_chance(3) ? (uint64_t)-1 : sim_below(200) * 512;
		break;
	case 4:
		sqe.opcode = vectors[sim_below(2)];
		sqe.addr = vec;
		sqe.len = (uint32_t)sim_below(9);
		sqe.off = sim_below(100) * 512;
		break;
	case 5:
		sqe.opcode = IORING_OP_OPENAT;
		sqe.fd = -100;
		sqe.addr = t->mapped + 100 + sim_below(4) * PAGE_SIZE;
		sqe.open_flags = (uint32_t)sim_below(3);
		break;
	case 6:
		sqe.opcode = IORING_OP_CLOSE;
		sqe.fd = 4 + (int32_t)sim_below(8);
		break;
	case 7:
		sqe.opcode = IORING_OP_STATX;
		sqe.fd = -100;
		sqe.addr = t->mapped + 100;
		sqe.len = 0x7ff;
		sqe.off = buf;
		break;
	case 8:
		sqe.opcode = IORING_OP_POLL_ADD;
		sqe.poll32_events = 1 + (uint32_t)sim_below(32);
		sqe.len = (uint32_t)sim_below(2);
		break;
	case 9:
		sqe.opcode = sim_chance(2) ? IORING_OP_TIMEOUT : IORING_OP_LINK_TIMEOUT;
		sqe.addr = vec + 256;
		sqe.len = 1;
		sqe.off = sim_below(3);
		break;
	case 10:
		sqe.opcode = sim_chance(2) ? IORING_OP_ASYNC_CANCEL : IORING_OP_TIMEOUT_REMOVE;
		sqe.addr = sim_below(64);
		sqe.fd = -1;
		if (sqe.opcode == IORING_OP_ASYNC_CANCEL)
			sqe.cancel_flags = (uint32_t)sim_below(8);
		break;
	case 11:
		sqe.opcode = IORING_OP_FSYNC;
		break;
	case 12:
		sqe.opcode = IORING_OP_FALLOCATE;
		sqe.off = sim_below(100) * 512;
		sqe.addr = 512 * sim_below(20);
		sqe.len = 3; /* KEEP_SIZE | PUNCH_HOLE */
		break;
	case 13:
		sqe.opcode = IORING_OP_SOCKET;
		sqe.fd = sim_chance(2) ? 2 : 10;
		sqe.off = 1 + sim_below(2);
		break;
	case 14: {
		static const uint8_t ops[] = { IORING_OP_BIND,     IORING_OP_CONNECT,
					       IORING_OP_LISTEN,   IORING_OP_ACCEPT,
					       IORING_OP_SHUTDOWN, IORING_OP_SENDMSG,
					       IORING_OP_RECVMSG };

		sqe.opcode = ops[sim_below(array_count(ops))];
		sqe.addr = sqe.opcode == IORING_OP_LISTEN || sqe.opcode == IORING_OP_SHUTDOWN ||
					   sqe.opcode == IORING_OP_ACCEPT
				   ? 0
				   : vec + 512;
		if (sqe.opcode == IORING_OP_BIND || sqe.opcode == IORING_OP_CONNECT)
			sqe.off = 16;
		sqe.len = sqe.opcode == IORING_OP_LISTEN || sqe.opcode == IORING_OP_SHUTDOWN ||
					  sqe.addr
				  ? 1
				  : 0;
		if (sqe.opcode == IORING_OP_BIND || sqe.opcode == IORING_OP_CONNECT)
			sqe.len = 0;
		break;
	}
	case 15 ... 17:
		call.nr = sim_chance(3) ? (uint16_t)sim_below(460)
					: calls[sim_below(array_count(calls))];
		call.a0 = any_number(p, t);
		call.a1 = sim_chance(2) ? sim_below(4) * PAGE_SIZE : any_number(p, t);
		call.a2 = any_number(p, t);
		call.a3 = sim_chance(2) ? 0x22 : any_number(p, t);
		call.a4 = any_number(p, t);
		call.a5 = any_number(p, t);
		memcpy(&sqe, &call, sizeof(sqe));
		break;
	case 18:
		sqe.opcode = IORING_OP_FILES_UPDATE;
		sqe.addr = vec;
		sqe.len = 2;
		break;
	default:
		sqe.opcode = IORING_OP_NOP;
		sqe.fd = -1;
		sqe.nop_flags = (uint32_t)sim_below(2);
		sqe.len = (uint32_t)sim_below(3) - 1;
	}
	return sqe;
}

/* Mostly what means something, with up to two fields spoilt; sometimes nothing but noise. */
static struct io_uring_sqe any_sqe(struct sim_prog *p, const struct target *t)
{
	struct io_uring_sqe sqe = good_sqe(p, t);

	if (sim_chance(15)) {
		uint64_t noise[8];

		for (unsigned i = 0; i < 8; i++)
			noise[i] = sim_random();
		memcpy(&sqe, noise, sizeof(sqe));
		sqe.opcode = (uint8_t)(sim_chance(2) ? sim_below(IORING_OP_LAST) : sim_random());
	}
	for (uint64_t n = sim_chance(2) ? sim_below(3) : 0; n; n--) {
		switch (sim_below(10)) {
		case 0:
			sqe.fd = sim_chance(2) ? (int32_t)sim_random() : (int32_t)sim_below(12) - 1;
			break;
		case 1:
			sqe.off = any_number(p, t);
			break;
		case 2:
			sqe.addr = any_address(p, t);
			break;
		case 3:
			sqe.len = (uint32_t)any_number(p, t);
			break;
		case 4:
			sqe.ioprio = (uint16_t)(1u << sim_below(16));
			break;
		case 5:
			sqe.rw_flags = (int32_t)(1u << sim_below(32));
			break;
		case 6:
			sqe.buf_index = (uint16_t)sim_below(3);
			break;
		case 7:
			sqe.personality = (uint16_t)sim_random();
			break;
		case 8:
			sqe.file_index = (uint32_t)any_number(p, t);
			break;
		case 9:
			sqe.addr3 = any_number(p, t);
		}
	}
	if (sim_chance(4))
		sqe.flags |= (uint8_t)(1u << sim_below(8));
	sqe.user_data = sim_below(64);
	return sqe;
}

static struct target make_target(struct sim_prog *p)
{
	static const char paths[4][16] = { "/dev/vda", "/dev/zero", "/dev/console", "/bin/1" };
	struct {
		uint64_t base, len;
	} vector[16];
	int64_t time[2] = { 0, (int64_t)sim_below(300000) };
	struct {
		uint16_t family, port_be;
		uint32_t addr_be;
		uint64_t zero;
	} local = { .family = 2,
		    .port_be = 0x1700,
		    .addr_be = 0x0100007f }; /* 127.0.0.1, port 23 */
	struct target t = { .mapped = prog_map(p, 8 * PAGE_SIZE) };

	for (unsigned i = 0; i < 4; i++)
		prog_write(p, t.mapped + i * PAGE_SIZE + 100, paths[i], 16);
	for (unsigned i = 0; i < 16; i++) {
		vector[i].base = any_address(p, &t);
		vector[i].len = sim_below(6000);
	}
	prog_write(p, t.mapped + 3 * PAGE_SIZE, vector, sizeof(vector));
	prog_write(p, t.mapped + 3 * PAGE_SIZE + 256, time, sizeof(time));
	prog_write(p, t.mapped + 3 * PAGE_SIZE + 512, &local, sizeof(local));
	prog_enter(p, 226 /* mprotect */, t.mapped + 4 * PAGE_SIZE, PAGE_SIZE, 1, 0, 0, 0);
	prog_enter(p, 226, t.mapped + 5 * PAGE_SIZE, PAGE_SIZE, 0, 0, 0, 0);
	prog_enter(p, 215 /* munmap */, t.mapped + 6 * PAGE_SIZE, 2 * PAGE_SIZE, 0, 0, 0, 0);
	return t;
}

/* Submits anything. It may well end itself with exit_group, or unmap its own ring and fault. */
static void submits_anything(struct sim_prog *p)
{
	struct target t = make_target(p);

	for (unsigned i = 0; i < 3000; i++) {
		struct io_uring_sqe sqe = any_sqe(p, &t);
		struct io_uring_cqe cqe;

		if (!prog_sqe(p, &sqe) || sim_chance(6))
			prog_submit(p);
		if (sim_chance(3))
			while (prog_cqe(p, &cqe))
				;
		if (sim_chance(200))
			prog_enter(p, (int64_t)sim_below(500), any_number(p, &t), any_number(p, &t),
				   any_number(p, &t), any_number(p, &t), any_number(p, &t),
				   any_number(p, &t));
	}
}

/* Writes garbage over the ring's indices, flags and entries while the kernel reads them. */
static void scribbles(struct sim_prog *p)
{
	const struct io_sqring_offsets *sq = &p->start.params.sq_off;
	const struct io_cqring_offsets *cq = &p->start.params.cq_off;
	struct target t = make_target(p);

	for (unsigned i = 0; i < 1500; i++) {
		uint32_t at[] = {
			sq->head,         sq->tail,  sq->ring_mask,
			sq->ring_entries, sq->flags, sq->dropped,
			cq->head,         cq->tail,  cq->ring_mask,
			cq->overflow,     cq->flags, (uint32_t)sim_below(PAGE_SIZE) & ~3u
		};
		struct io_uring_sqe sqe = any_sqe(p, &t);

		prog_write(p, p->start.sqes + sim_below(256) * 64, &sqe, sizeof(sqe));
		prog_store(p, p->start.sq_ring + at[sim_below(array_count(at))],
			   sim_chance(2) ? (uint32_t)sim_random()
					 : prog_load(p, p->start.sq_ring + sq->tail) + 1);
		if (sim_chance(10))
			prog_enter(p, 426, 3, sim_below(300), sim_below(3) ? 0 : sim_below(2000),
				   sim_chance(3) ? sim_random() : sim_below(8),
				   sim_chance(3) ? any_address(p, &t) : 0, sim_below(64));
	}
}

/* A good neighbour: its answers must not change. */
static void neighbour(struct sim_prog *p)
{
	for (uint64_t i = 0; i < 400; i++) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = i };

		sim_check(prog_do(p, &sqe, NULL) == 0);
	}
}

static void surrounded(void (*bad)(struct sim_prog *p))
{
	struct process *good = sim_spawn(neighbour, NULL, 2, 0);

	sim_disk.eio_permille = 100;
	sim_spawn(bad, NULL, 1, 0);
	sim_spawn(bad, NULL, 2, 0);
	sim_for(30000000 + sim_below(10000000));
	/* who is still there hangs in what it asked for, as it may */
	for (unsigned pid = 1; pid <= 3; pid++) {
		struct process *p = process_find(pid);

		if (p && p != good)
			sim_kill(p);
	}
	sim_finish();
}

static void anything(void)
{
	surrounded(submits_anything);
}

static void scribbled(void)
{
	surrounded(scribbles);
}

static void alone_on_a_mixed_core(void)
{
	sim_spawn(submits_anything, NULL, 0, 0);
	sim_for(30000000);
	if (process_find(1))
		sim_kill(process_find(1));
	sim_finish();
}

/* Takes memory until there is none. The neighbour lives; what was taken comes back. */
static void takes_memory(struct sim_prog *p)
{
	for (;;) {
		uaddr_t at = prog_map(p, 64 * PAGE_SIZE);

		for (unsigned i = 0; i < 64; i++)
			prog_write(p, at + i * PAGE_SIZE, "x", 1);
	}
}

static void memory_ends(void)
{
	sim_spawn(neighbour, NULL, 1, 0);
	sim_spawn(takes_memory, NULL, 2, 0);
	sim_spawn(takes_memory, NULL, 2, 0);
	sim_finish();
	sim_check(sim_failed_programs() == 2);
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "hostile submits anything",
		  .run = anything,
		  .cores = 3,
		  .disk_sectors = 256 },
		{ .name = "hostile scribbles over its ring",
		  .run = scribbled,
		  .cores = 3,
		  .disk_sectors = 256 },
		{ .name = "hostile on a mixed core",
		  .run = alone_on_a_mixed_core,
		  .cores = 1,
		  .disk_sectors = 256 },
		{ .name = "hostile takes all memory", .run = memory_ends, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
