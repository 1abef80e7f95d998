/*
 * depth HOW FILE BYTES AMOUNT DEPTH...: what does an operation cost, by how many are submitted at
 * once? The peer's side of bench/guest/nop.c and bench/guest/read.c; each DEPTH is measured, one
 * after the other.
 *
 *	sync	a system call for each: getppid, or pread
 *	enter	DEPTH entries are filled, submitted with one io_uring_enter and awaited by it
 *	defer	the same, SINGLE_ISSUER | DEFER_TASKRUN
 *	sqpoll	a kernel thread on cpu 1 polls; this one, on cpu 0, shows DEPTH entries at once and spins
 *		for the answers
 *
 * FILE: "nop" for an operation that does nothing, or what 4 KiB are read from, uncached, in an
 * order that is the same on both systems, within BYTES. AMOUNT of them per
 * depth: operations, or milliseconds ("300ms"). Every answer is looked at.
 */
#include <fcntl.h>

#include "bench/host/uring.h"

#include "bench/depth.h"
#include "peer.h"

#define CHUNK 16u

struct depth_run {
	struct uring ring;
	const char *how;
	int fd; /* -1: operations that do nothing */
	char *buffers;
	struct depth_order order;
};

static void run_sync(struct depth_run *run, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++) {
		if (run->fd < 0) {
			if (syscall(SYS_getppid) < 0)
				die("getppid: %s", strerror(errno));
			continue;
		}
		if (pread(run->fd, run->buffers, DEPTH_BLOCK, (off_t)depth_next(&run->order)) !=
		    DEPTH_BLOCK)
			die("pread: %s", strerror(errno));
	}
}

static void run_fill(struct depth_run *run, uint32_t depth)
{
	if (run->fd < 0) {
		uring_nops(&run->ring, depth);
		return;
	}
	for (uint32_t i = 0; i < depth; i++) {
		struct io_uring_sqe *sqe = uring_sqe(&run->ring);

		sqe->opcode = IORING_OP_READ;
		sqe->fd = run->fd;
		sqe->off = depth_next(&run->order);
		sqe->addr = (uintptr_t)(run->buffers + (size_t)i * DEPTH_BLOCK);
		sqe->len = DEPTH_BLOCK;
	}
	uring_publish(&run->ring);
}

static void run_enter(struct depth_run *run, uint32_t depth)
{
	run_fill(run, depth);
	uring_enter(&run->ring, depth, depth, IORING_ENTER_GETEVENTS);
	if (uring_take(&run->ring) != depth)
		die("answers are missing");
}

static void run_sqpoll(struct depth_run *run, uint32_t depth)
{
	run_fill(run, depth);
	uring_wake(&run->ring);
	while (uring_ready(&run->ring) < depth)
		;
	uring_take(&run->ring);
}

/* AMOUNT: operations, or milliseconds ("300ms"), looked at every CHUNK rounds. */
struct amount {
	uint64_t ops, ms;
};

static struct amount amount_read(char *text)
{
	size_t length = strlen(text);
	struct amount amount = { 0 };

	if (length > 2 && !strcmp(text + length - 2, "ms")) {
		text[length - 2] = 0;
		amount.ms = number(text, 1, 100000);
	} else {
		amount.ops = number(text, 1, 1000000000);
	}
	return amount;
}

/* Goes on for `ops`, or else for `ns`: operations done. */
static uint64_t run_amount(struct depth_run *run, void (*go)(struct depth_run *, uint32_t),
			   uint32_t depth, uint64_t ops, uint64_t ns)
{
	uint64_t rounds = ops ? ops / depth + (ops < depth) : CHUNK, done = 0, end = now_ns() + ns;

	do {
		for (uint64_t i = 0; i < rounds; i++)
			go(run, depth);
		done += rounds * depth;
	} while (!ops && now_ns() < end);
	return done;
}

static void measure(struct depth_run *run, void (*go)(struct depth_run *, uint32_t), uint32_t depth,
		    const struct amount *amount)
{
	uint64_t done, from;

	run_amount(run, go, depth, amount->ops / 10, amount->ms * 100000);
	from = now_ns();
	PEER_MARK(PEER_MARK_BEGIN);
	done = run_amount(run, go, depth, amount->ops, amount->ms * 1000000);
	PEER_MARK(PEER_MARK_END);
	printf("bench: how=%s depth=%u ops=%llu ns=%llu\n", run->how, depth,
	       (unsigned long long)done, (unsigned long long)(now_ns() - from));
	fflush(stdout);
	if (run->ring.asked != run->ring.answered)
		die("the answers are not those of the questions");
}

int main(int argc, char **argv)
{
	struct depth_run run = { .fd = -1 };
	void (*go)(struct depth_run *, uint32_t) = run_enter;
	struct amount amount;
	unsigned flags = 0;

	if (argc < 6)
		die("usage: depth sync|enter|defer|sqpoll nop|FILE BYTES AMOUNT DEPTH...");
	run.how = argv[1];
	amount = amount_read(argv[4]);
	if (strcmp(argv[2], "nop")) {
		run.fd = open(argv[2], O_RDONLY | O_DIRECT);
		if (run.fd < 0)
			die("%s: %s", argv[2], strerror(errno));
		depth_order_init(&run.order, number(argv[3], DEPTH_BLOCK, 1ull << 40));
		run.ring.wanted = DEPTH_BLOCK;
		run.buffers = mmap(NULL, DEPTH_MAX * DEPTH_BLOCK, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (run.buffers == MAP_FAILED)
			die("mmap: %s", strerror(errno));
	}
	pin_to(0);
	if (!strcmp(run.how, "sync")) {
		go = run_sync;
	} else if (!strcmp(run.how, "defer")) {
		flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	} else if (!strcmp(run.how, "sqpoll")) {
		flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;
		go = run_sqpoll;
	} else if (strcmp(run.how, "enter")) {
		die("%s is no way", run.how);
	}
	if (go != run_sync)
		uring_open(&run.ring, DEPTH_MAX, flags, false);
	for (int i = 5; i < argc; i++)
		measure(&run, go, (uint32_t)number(argv[i], 1, DEPTH_MAX), &amount);
	return 0;
}
