/*
 * Is an operation done by the core that owns its disk or its socket, and only forwarded by the
 * ring's core? Every core counts the steps it runs. (map: split.conf)
 *
 * Argument: how many io cores must have taken part, 1 without it.
 */
#include "tests/abi/lib/cores.h"
#include "uapi/socket.h"

#define READS 512u
#define DEPTH 16u
#define SOCKETS 256u

static char buffer[DEPTH * 4096] __attribute__((aligned(4096)));
static struct core before[CORES_MAX], after[CORES_MAX];

static uint32_t reads(struct ring *ring, int fd)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < READS; i += DEPTH) {
		for (uint32_t k = 0; k < DEPTH; k++)
			ring_fill(ring_sqe(ring), IORING_OP_READ, fd, (i + k) % 64 * 4096,
				  (uint64_t)(uintptr_t)buffer + k * 4096, 4096, 0, 0);
		ring_submit(ring);
		ring_wait(ring, DEPTH);
		for (uint32_t k = 0; k < DEPTH; k++)
			wrong += ring_cqe_at(ring, k)->res != 4096;
		ring_advance(ring, DEPTH);
	}
	return wrong;
}

static uint32_t sockets(void)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < SOCKETS; i++) {
		int64_t fd;

		ring_fill(ring_sqe(&ring_native), IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0,
			  0);
		fd = say_wait();
		ring_fill(ring_sqe(&ring_native), IORING_OP_CLOSE, (int32_t)fd, 0, 0, 0, 0, 0);
		wrong += say_wait() || fd < 0;
	}
	return wrong;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t wanted = argc > 1 ? text_number(argv[1]) : 1, busy = 0, disk = 0, net = 0,
		 others = 0;
	int64_t fd = open_file("/dev/vda");
	unsigned n;

	say_true("there is a disk", fd >= 0);
	n = look(before);
	say_is("reads gone wrong", reads(ring, (int)fd), 0);
	say_is("every core has a line", look(after), n);
	for (unsigned i = 0; i < n; i++) {
		uint64_t steps = after[i].steps - before[i].steps;

		if (after[i].io) {
			disk += steps;
			busy += steps >= READS / wanted / 4;
		} else if (!after[i].user) {
			others += steps;
		}
	}
	say_true("every read has been stepped where the disk is", disk >= READS);
	say_is("io cores that took their share", (int64_t)busy, (int64_t)wanted);
	say_true("and the other cores have only forwarded", others < READS / 8);
	(void)look(before);
	say_is("sockets gone wrong", sockets(), 0);
	(void)look(after);
	for (unsigned i = 0; i < n; i++) {
		if (!after[i].net)
			continue;
		net += after[i].steps - before[i].steps;
		/* on the ring's own core they end at their first step, which needs no executor */
		if (after[i].sqes - before[i].sqes >= 2 * SOCKETS)
			net += SOCKETS;
	}
	say_true("every socket was made where the network is", net >= SOCKETS);
	return say_verdict();
}
