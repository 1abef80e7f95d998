/*
 * What if an operation runs on another core than its ring's, and the program cancels it at every
 * possible moment, or dies? It ends exactly once, and nothing leaks. (map: split.conf)
 *
 * also: die
 * ends: exit status 0
 */
#include "tests/abi/lib/say.h"
#include "uapi/socket.h"

#define ROUNDS 1500u
#define EACH 8u

static uint32_t twice, strange, wrong;
static uint8_t ended[ROUNDS * EACH * 2];

static int64_t listener(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);
	int64_t fd;

	ring_fill(sqe, IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	fd = say_wait();
	if (fd < 0)
		return fd;
	ring_fill(ring_sqe(&ring_native), IORING_OP_LISTEN, (int32_t)fd, 0, 0, 16, 0, 0);
	return say_wait() ? -1 : fd;
}

static uint32_t reap(struct ring *ring)
{
	uint32_t n = ring_ready(ring);

	for (uint32_t i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);

		if (cqe->user_data >= sizeof(ended)) {
			strange++;
			continue;
		}
		twice += ended[cqe->user_data]++ != 0;
		if (cqe->user_data % 2)
			wrong += cqe->res != 0 && cqe->res != -ENOENT && cqe->res != -EALREADY;
		else
			wrong += cqe->res != -ECANCELED;
	}
	ring_advance(ring, n);
	return n;
}

/* Even numbers accept, the odd number behind each cancels it: at once, or a little later. */
static void round_of(struct ring *ring, int fd, uint32_t first, unsigned delay)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < EACH; i++) {
		ring_fill(ring_sqe(ring), IORING_OP_ACCEPT, fd, 0, 0, 0, 0, first + 2 * i);
		if (delay & 1)
			ring_fill(ring_sqe(ring), IORING_OP_ASYNC_CANCEL, -1, 0, first + 2 * i, 0,
				  0, first + 2 * i + 1);
	}
	ring_submit(ring);
	for (volatile unsigned spin = 0; spin < delay * 50; spin++)
		;
	for (unsigned i = 0; i < EACH; i++) {
		uint64_t next = delay & 1 ? 0xffff : first + 2 * i + 1;

		/* twice is once too often: the second is told so, or finds nothing */
		if (!(delay & 1))
			ring_fill(ring_sqe(ring), IORING_OP_ASYNC_CANCEL, -1, 0, first + 2 * i, 0,
				  0, next);
	}
	ring_submit(ring);
	while (seen < 2 * EACH) {
		ring_wait(ring, 1);
		seen += reap(ring);
	}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	int64_t fd = listener();
	uint32_t missing = 0;

	(void)argv;
	if (fd < 0)
		return 2;
	if (argc > 1) { /* dies with accepts on the other core, some of them being cancelled */
		for (unsigned i = 0; i < 100; i++)
			ring_fill(ring_sqe(ring), IORING_OP_ACCEPT, (int32_t)fd, 0, 0, 0, 0, i);
		for (unsigned i = 0; i < 50; i++)
			ring_fill(ring_sqe(ring), IORING_OP_ASYNC_CANCEL, -1, 0, i * 2, 0, 0, 0);
		ring_submit(ring);
		return 0;
	}
	for (uint32_t i = 0; i < ROUNDS; i++)
		round_of(ring, (int)fd, i * EACH * 2, i % 16);
	for (uint32_t i = 0; i < sizeof(ended); i++)
		missing += !ended[i];
	say_is("every entry ended", missing, 0);
	say_is("none twice", twice, 0);
	say_is("no answer without a question", strange, 0);
	say_is("every answer is one that may be", wrong, 0);
	return say_verdict();
}
