/*
 * b_turns ROUNDS: what does it cost when two programs take turns on one hart? A child of this
 * program, on the same hart, sends back through one pipe what came through another. Run once plain
 * and once with SLUICE_UINTR=1, then both programs receive notices, too.
 */
#include "libasync/notice.h"
#include "lib/guest.h"

static struct ring *ring;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t one(uint8_t opcode, int fd, const void *addr, uint32_t len)
{
	int64_t res;

	ring_fill(ring_sqe(ring), opcode, fd, opcode == IORING_OP_PIPE ? 0 : ~0ull, at(addr), len,
		  0, 0);
	if (opcode == IORING_OP_SPAWN)
		ring->sqes[(ring->sq_next - 1) & ring->sq_mask].off = 0;
	if (ring_submit(ring) || ring_wait(ring, 1))
		ring_die(ring, "b_turns: the doorbell failed\n");
	res = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	if (res < 0)
		ring_die(ring, "b_turns: an operation failed\n");
	return res;
}

static void bounce(int in, int out, uint64_t rounds, bool first)
{
	char byte = 'x';

	for (uint64_t i = 0; i < rounds; i++) {
		if (first)
			one(IORING_OP_WRITE, out, &byte, 1);
		one(IORING_OP_READ, in, &byte, 1);
		if (!first)
			one(IORING_OP_WRITE, out, &byte, 1);
	}
}

int ring_main(struct ring *native, int argc, char **argv)
{
	bool uintr = ring_start_info->flags & SLUICE_START_UINTR;
	int there[2], back[2];
	uint64_t rounds;

	ring = native;
	if (uintr && notice_start(ring) != SLUICE_NOTICE_DIRECT)
		ring_die(ring, "b_turns: no user interrupts\n");
	rounds = guest_number(ring, argv[argc - 1]);
	if (argc == 3) {
		bounce(3, 4, rounds, false);
		return 0;
	}
	one(IORING_OP_PIPE, 0, there, 0);
	one(IORING_OP_PIPE, 0, back, 0);
	{
		const char *words[] = { argv[0], "child", argv[1], NULL };
		const char *environment[] = { "SLUICE_UINTR=1", NULL };
		int32_t fds[] = { 0, 1, 2, there[0], back[1] };
		struct sluice_spawn ask = {
			.size = sizeof(ask),
			.fd_count = 5,
			.path = at(argv[0]),
			.argv = at(words),
			.envp = uintr ? at(environment) : 0,
			.fds = at(fds),
			.user_core = SLUICE_ANY_CORE,
			.home = SLUICE_ANY_CORE,
		};

		one(IORING_OP_SPAWN, 0, &ask, sizeof(ask));
	}
	bounce(back[0], there[1], rounds / 10, true);
	ASYNC_MARK(GUEST_MARK_BEGIN);
	bounce(back[0], there[1], rounds - rounds / 10, true);
	ASYNC_MARK(GUEST_MARK_END);
	guest_say(ring, "bench: switch=%s rounds=%llu\n", uintr ? "uintr" : "plain",
		  (unsigned long long)(rounds - rounds / 10));
	return 0;
}
