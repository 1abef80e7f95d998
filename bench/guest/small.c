/*
 * b_small WHAT BYTES OPS DEPTH...: what does a small transfer cost that need not wait, by how many
 * are submitted with one enter? Each DEPTH is measured, one after the other, on a ring without a
 * poller.
 *
 *	nop	no transfer: what the loop and the ring cost
 *	read	reads of BYTES from a memory file of 64 KiB, one after the other, again and again
 *	write	writes to it
 *	pipe	DEPTH writes of BYTES into a pipe, then DEPTH reads out of it; DEPTH times BYTES is at
 *		most 65536
 *
 * Every answer's length is looked at.
 */
#include "lib/guest.h"
#include "uapi/fs.h"

#define FILE_BYTES 65536u
#define DEPTH_MAX  256u
#define BYTES_MAX  4096u

struct small {
	struct ring *ring;
	uint32_t bytes;
	int in, out; /* descriptors read from and written to; -1: no such transfers */
	bool nop, seeks;
	uint64_t off;
};

static char room[BYTES_MAX];

static void small_round(struct small *s, uint8_t opcode, int fd, uint32_t depth)
{
	struct ring *ring = s->ring;
	int32_t want = s->nop ? 0 : (int32_t)s->bytes, wrong = 0;

	for (uint32_t i = 0; i < depth; i++) {
		ring_fill(ring_sqe(ring), opcode, fd, s->seeks ? s->off : 0,
			  s->nop ? 0 : (uint64_t)(uintptr_t)room, s->nop ? 0 : s->bytes, 0, i);
		s->off = (s->off + s->bytes) & (FILE_BYTES - 1);
	}
	ring_publish(ring);
	if (ring_enter(ring, depth, depth, IORING_ENTER_GETEVENTS, NULL, 0) != depth ||
	    ring_ready(ring) != depth)
		ring_die(ring, "b_small: enter failed\n");
	for (uint32_t left = depth; left;) {
		const struct io_uring_cqe *cqe;
		uint32_t n = ring_cqes(ring, left, &cqe);

		for (uint32_t i = 0; i < n; i++)
			wrong |= cqe[i].res ^ want;
		ring_advance(ring, n);
		left -= n;
	}
	if (wrong)
		ring_die(ring, "b_small: a transfer failed\n");
}

/* Operations done. */
static uint64_t small_run(struct small *s, uint32_t depth, uint64_t ops)
{
	uint64_t done = 0;

	while (done < ops) {
		if (s->out >= 0) {
			small_round(s, IORING_OP_WRITE, s->out, depth);
			done += depth;
		}
		if (s->in >= 0 || s->nop) {
			small_round(s, s->nop ? IORING_OP_NOP : IORING_OP_READ, s->in, depth);
			done += depth;
		}
	}
	return done;
}

static void small_open(struct small *s, char what)
{
	static char zeros[BYTES_MAX];
	int fds[2] = { -1, -1 };
	int64_t fd;

	if (what == 'p') {
		if (ring_syscall(s->ring, SYS_pipe2, (uint64_t)(uintptr_t)fds, 0, 0, 0, 0, 0))
			ring_die(s->ring, "b_small: no pipe\n");
		s->in = fds[0];
		s->out = fds[1];
		return;
	}
	fd = ring_syscall(s->ring, SYS_memfd_create, (uint64_t)(uintptr_t) "", 0, 0, 0, 0, 0);
	if (fd < 0)
		ring_die(s->ring, "b_small: no memory file\n");
	for (uint64_t off = 0; off < FILE_BYTES; off += BYTES_MAX)
		if (ring_syscall(s->ring, SYS_pwrite64, (uint64_t)fd, (uint64_t)(uintptr_t)zeros,
				 BYTES_MAX, off, 0, 0) != BYTES_MAX)
			ring_die(s->ring, "b_small: the file cannot be filled\n");
	*(what == 'r' ? &s->in : &s->out) = (int)fd;
	s->seeks = true;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct small s = { .ring = ring, .in = -1, .out = -1 };
	uint64_t ops;

	if (argc < 5 || ring_is_polled(ring))
		ring_die(ring, "usage: b_small nop|read|write|pipe BYTES OPS DEPTH... (on a ring "
			       "without a poller)\n");
	s.bytes = (uint32_t)guest_number(ring, argv[2]);
	ops = guest_number(ring, argv[3]);
	s.nop = *argv[1] == 'n';
	if (!s.bytes || s.bytes > BYTES_MAX)
		ring_die(ring, "b_small: 1 to 4096 bytes\n");
	if (!s.nop)
		small_open(&s, *argv[1]);
	for (int i = 4; i < argc; i++) {
		uint32_t depth = (uint32_t)guest_number(ring, argv[i]);
		uint64_t from, done;

		if (depth < 1 || depth > DEPTH_MAX || depth * s.bytes > FILE_BYTES)
			ring_die(ring, "b_small: a depth is 1 to 256, and 64 KiB in all\n");
		small_run(&s, depth, ops / 10);
		ASYNC_MARK(GUEST_MARK_BEGIN);
		from = guest_instructions();
		done = small_run(&s, depth, ops);
		from = guest_instructions() - from;
		ASYNC_MARK(GUEST_MARK_END);
		guest_say(ring, "bench: what=%s bytes=%u depth=%u ops=%llu instructions=%llu\n",
			  argv[1], s.bytes, depth, (unsigned long long)done,
			  (unsigned long long)from);
	}
	return 0;
}
