/*
 * b_read HOW DISK BYTES AMOUNT DEPTH...: what does a read of 4 KiB from the disk cost, by how many
 * are submitted at once? Each DEPTH is measured, one after the other.
 *
 *	enter	DEPTH reads are submitted with one enter and awaited by it
 *	polled	the same on a ring that a kernel core polls: DEPTH reads are shown at once, and the
 *		answers are spun for
 *
 * Blocks are read in the order of bench/depth.h, all within BYTES, AMOUNT of them per depth:
 * operations, or milliseconds ("300ms"). Every answer's length is looked at. Nothing caches them.
 */
#include "bench/depth.h"
#include "lib/guest.h"
#include "uapi/fs.h"

#define CHUNK 16u

static char read_buffers[DEPTH_MAX][DEPTH_BLOCK] __attribute__((aligned(4096)));

struct read_run {
	struct ring *ring;
	bool polled;
	int fd;
	struct depth_order order;
	uint64_t asked, answered; /* sums of user_data */
};

static void read_fill(struct read_run *run, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++) {
		ring_fill(ring_sqe(run->ring), IORING_OP_READ, run->fd, depth_next(&run->order),
			  (uint64_t)(uintptr_t)read_buffers[i], DEPTH_BLOCK, 0, i);
		run->asked += i;
	}
	ring_publish(run->ring);
}

static void read_take(struct read_run *run, uint32_t depth)
{
	for (uint32_t left = depth; left;) {
		const struct io_uring_cqe *cqe;
		uint32_t n = ring_cqes(run->ring, left, &cqe);

		for (uint32_t i = 0; i < n; i++) {
			if (cqe[i].res != (int32_t)DEPTH_BLOCK)
				ring_die(run->ring, "b_read: a read failed\n");
			run->answered += cqe[i].user_data;
		}
		ring_advance(run->ring, n);
		left -= n;
	}
}

static void read_round(struct read_run *run, uint32_t depth)
{
	struct ring *ring = run->ring;

	read_fill(run, depth);
	if (run->polled) {
		if (ring_signal(ring))
			ring_die(ring, "b_read: the doorbell failed\n");
		while (!ring_spin(ring, depth, UINT64_MAX))
			;
	} else if (ring_enter(ring, depth, depth, IORING_ENTER_GETEVENTS, NULL, 0) != depth) {
		ring_die(ring, "b_read: enter failed\n");
	}
	if (ring_ready(ring) != depth)
		ring_die(ring, "b_read: answers are missing\n");
	read_take(run, depth);
}

/* Goes on for `ops`, or else for `ns`: operations done. */
static uint64_t read_amount(struct read_run *run, uint32_t depth, uint64_t ops, uint64_t ns)
{
	uint64_t rounds = ops ? ops / depth + (ops < depth) : CHUNK, done = 0;
	uint64_t end = guest_ns() + ns;

	do {
		for (uint64_t i = 0; i < rounds; i++)
			read_round(run, depth);
		done += rounds * depth;
	} while (!ops && guest_ns() < end);
	return done;
}

static void read_measure(struct read_run *run, const char *how, uint32_t depth,
			 const struct guest_amount *amount)
{
	uint64_t from, ns, done;

	read_amount(run, depth, amount->ops / 10, amount->ns / 10);
	from = guest_ns();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	done = read_amount(run, depth, amount->ops, amount->ns);
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	if (run->asked != run->answered)
		ring_die(run->ring, "b_read: the answers are not those of the questions\n");
	guest_say(run->ring, "bench: how=%s depth=%u ops=%llu ns=%llu\n", how, depth,
		  (unsigned long long)done, (unsigned long long)ns);
}

static int read_open(struct ring *ring, const char *path)
{
	int fd;

	ring_fill(ring_sqe(ring), IORING_OP_OPENAT, AT_FDCWD, 0, (uint64_t)(uintptr_t)path, 0,
		  O_RDONLY, 0);
	if (ring_submit(ring) || ring_wait(ring, 1))
		ring_die(ring, "b_read: the doorbell failed\n");
	fd = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	if (fd < 0)
		ring_die(ring, "b_read: the disk cannot be opened\n");
	return fd;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct read_run run = { .ring = ring, .polled = ring_is_polled(ring) };
	struct guest_amount amount;

	if (argc < 6 || *argv[1] != (run.polled ? 'p' : 'e'))
		ring_die(ring, "usage: b_read enter|polled DISK BYTES AMOUNT DEPTH... (as the map "
			       "has it)\n");
	run.fd = read_open(ring, argv[2]);
	depth_order_init(&run.order, guest_number(ring, argv[3]));
	amount = guest_amount(ring, argv[4]);
	for (int i = 5; i < argc; i++) {
		uint32_t depth = (uint32_t)guest_number(ring, argv[i]);

		if (depth < 1 || depth > DEPTH_MAX)
			ring_die(ring, "b_read: a depth is 1 to 256\n");
		read_measure(&run, argv[1], depth, &amount);
	}
	return 0;
}
