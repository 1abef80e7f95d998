/*
 * What if the net core puts sockets into registered slots while the ring's core empties, fills and
 * uses the same slots, and takes the whole table away? Every file is let go exactly once: nothing
 * leaks, and nothing is used that is gone. (map: split.conf)
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/socket.h"

#define ROUNDS 3000u
#define SLOTS 4u
#define EACH 24u
#define TABLE_ROUNDS 16u /* between making the table and taking it away */

static int64_t reg(uint32_t code, const void *arg, uint32_t count)
{
	return ring_syscall(&ring_native, SYS_io_uring_register, (uint64_t)ring_native.fd, code,
			    (uint64_t)(uintptr_t)arg, count, 0, 0);
}

static int32_t none[SLOTS] = { -1, -1, -1, -1 };
static char byte;
static uint32_t strange;
static int32_t strange_kind, strange_answer;

/* What may be answered: a slot or a count, or that nothing, or nothing fit, was there. */
static bool is_known(uint32_t kind, int32_t res)
{
	switch (kind) {
	case 0: /* a socket into the slot */
		return res == 0 || res == -ENXIO;
	case 1: /* into any slot */
		return (res >= 0 && (uint32_t)res < SLOTS) || res == -ENFILE || res == -ENXIO;
	case 2: /* the slot is emptied */
		return res == 1 || res == -ENXIO;
	case 3: /* its file is used */
		return res == -EBADF || res == -EPIPE || res == -ENOTCONN || res == -ECANCELED;
	}
	/* closed by its number; and the table's end */
	return res == 0 || (kind == 4 && (res == -EBADF || res == -ENXIO));
}

static void fill(struct io_uring_sqe *sqe, uint32_t kind, uint32_t slot)
{
	switch (kind) {
	case 0:
	case 1:
		ring_fill(sqe, IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0, kind);
		sqe->file_index = kind ? IORING_FILE_INDEX_ALLOC : slot + 1;
		return;
	case 2:
		ring_fill(sqe, IORING_OP_FILES_UPDATE, -1, slot, (uint64_t)(uintptr_t)none, 1, 0,
			  kind);
		return;
	case 3:
		ring_fill(sqe, IORING_OP_SEND, (int32_t)slot, 0, (uint64_t)(uintptr_t)&byte, 1, 0,
			  kind);
		sqe->flags = IOSQE_FIXED_FILE;
		return;
	}
	ring_fill(sqe, IORING_OP_CLOSE, 0, 0, 0, 0, 0, kind);
	sqe->file_index = slot + 1;
}

static uint32_t reap(struct ring *ring)
{
	uint32_t n = ring_ready(ring);

	for (uint32_t i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);

		if (is_known((uint32_t)cqe->user_data, cqe->res))
			continue;
		strange++;
		strange_kind = (int32_t)cqe->user_data;
		strange_answer = cqe->res;
	}
	ring_advance(ring, n);
	return n;
}

static void round_of(struct ring *ring, bool last, uint32_t *seed)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < EACH; i++) {
		*seed = *seed * 1664525u + 1013904223u;
		/* every second one the net core does, the others the ring's core */
		fill(ring_sqe(ring), i % 2 ? 2 + (*seed >> 20) % 3 : (*seed >> 20) % 8 == 0,
		     (*seed >> 28) % SLOTS);
	}
	if (last) /* the table goes while sockets are on their way to it */
		ring_fill_syscall(ring_sqe(ring), SYS_io_uring_register, (uint64_t)ring->fd,
				  IORING_UNREGISTER_FILES, 0, 0, 0, 0, 5);
	ring_submit(ring);
	while (seen < EACH + last) {
		ring_wait(ring, 1);
		seen += reap(ring);
	}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint32_t seed = 1, refused = 0;

	(void)argc, (void)argv;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		if (round % TABLE_ROUNDS == 0)
			refused += reg(IORING_REGISTER_FILES, none, SLOTS) != 0;
		round_of(ring, round % TABLE_ROUNDS == TABLE_ROUNDS - 1, &seed);
	}
	if (strange) {
		say_is("kind of a strange answer", strange_kind, -1);
		say_is("the answer", strange_answer, 0);
	}
	say_is("every answer is one that may be", strange, 0);
	say_is("a table can be registered after each end of one", refused, 0);
	return say_verdict();
}
