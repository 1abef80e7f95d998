/*
 * What if a program scribbles over its ring while the kernel core reads it, closes the ring's
 * descriptor with operations in flight, or unmaps the ring under both, or takes every operation
 * there is and reads no answer? It may lose its own answers; it can still leave by the door, its
 * neighbour notices nothing, nothing leaks.
 *
 * also: header
 * ends: exit status 0
 * also: sqes
 * ends: exit status 0
 * also: close
 * ends: exit status 0
 * also: unmap
 * ends: exit status 0
 * also: readonly
 * ends: exit status 0
 * also: touch
 * ends: killed by signal 11
 * also: pool
 * ends: exit status 0
 * also: noreap
 * ends: exit status 0
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"
#include "uapi/time.h"

static uint64_t seed = 88172645463325252ull;
static struct __kernel_timespec hour = { 3600, 0 };

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* The trap that remains when the ring is no more. */
static int64_t door(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return async_door(ring_native.door, nr, a0, a1, a2, 0, 0, 0);
}

static void some_in_flight(struct ring *ring, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ring_fill(ring_sqe(ring), IORING_OP_TIMEOUT, -1, 0, (uint64_t)(uintptr_t)&hour, 1,
			  0, i);
	ring_submit(ring);
}

/* All that is shared but the entries: heads, tails, flags, masks, and the CQEs behind them. */
static void scribble_header(struct ring *ring)
{
	uint64_t first = ring_start_info->cq_ring;
	volatile uint32_t *word = (volatile uint32_t *)(uintptr_t)first;

	for (unsigned i = 0; i < 300000; i++) {
		word[rnd() % 1024] = rnd() & 1 ? (uint32_t)rnd() : (uint32_t)(rnd() % 300);
		if (i % 1000 == 0)
			ring_enter(ring, (uint32_t)rnd() % 300, 0,
				   IORING_ENTER_SQ_WAKEUP |
					   (rnd() & 1 ? IORING_ENTER_GETEVENTS : 0),
				   NULL, 0);
	}
}

/* Entries change while they are copied, and the tail runs on. Only opcodes that leave the program
 * its memory and its life. */
static void scribble_sqes(struct ring *ring)
{
	volatile uint8_t *byte = (volatile uint8_t *)ring->sqes;

	for (unsigned i = 0; i < 256; i++)
		ring_fill(&ring->sqes[i], IORING_OP_NOP, -1, 0, 0, 0, 0, i);
	for (unsigned i = 0; i < 300000; i++) {
		unsigned slot = (unsigned)(rnd() % 256);

		if (rnd() & 1)
			byte[slot * 64] = (uint8_t)(rnd() % 14); /* opcode */
		else
			byte[slot * 64 + 1 + rnd() % 39] = (uint8_t)rnd();
		if (i % 16 == 0)
			__atomic_fetch_add(ring->sq_tail, 3, __ATOMIC_RELEASE);
		if (i % 1000 == 0)
			ring_enter(ring, 200, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
		__atomic_store_n(ring->cq_head, *(volatile uint32_t *)ring->cq_tail,
				 __ATOMIC_RELEASE);
	}
}

static void close_everything(struct ring *ring)
{
	some_in_flight(ring, 100);
	for (int fd = 20; fd >= 0; fd--)
		ring_fill(ring_sqe(ring), IORING_OP_CLOSE, fd, 0, 0, 0, 0, 0);
	ring_submit(ring);
	/* The door does not need the ring. Nobody knows its descriptor any more once the kernel
	 * core came by. */
	while (door(SYS_io_uring_enter, (uint64_t)ring->fd, 0, 0) != -EBADF)
		door(SYS_sched_yield, 0, 0, 0);
}

static void take_away(struct ring *ring, bool unmap)
{
	const struct sluice_start *s = ring_start_info;
	uint64_t at[2] = { s->cq_ring & ~4095ull, s->sqes & ~4095ull };

	some_in_flight(ring, 100);
	for (unsigned i = 0; i < 2; i++) {
		if (unmap)
			door(SYS_munmap, at[i], 4096, 0);
		else
			door(SYS_mprotect, at[i], 4096, PROT_READ);
	}
}

/* More and more, until the kernel takes no more; what was taken stays. */
static void take_all(struct ring *ring, bool sleepers)
{
	for (unsigned stuck = 0; stuck < 2000;) {
		struct io_uring_sqe *sqe = ring_sqe(ring);

		if (!sqe) {
			ring_submit(ring);
			door(SYS_sched_yield, 0, 0, 0);
			stuck++;
			continue;
		}
		stuck = 0;
		if (sleepers)
			ring_fill(sqe, IORING_OP_TIMEOUT, -1, 0, (uint64_t)(uintptr_t)&hour, 1, 0,
				  0);
		else
			ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	}
}

static void misbehave(struct ring *ring, const char *how)
{
	switch (how[0]) {
	case 'h':
		some_in_flight(ring, 100);
		scribble_header(ring);
		break;
	case 's':
		scribble_sqes(ring);
		break;
	case 'c':
		close_everything(ring);
		break;
	case 'u':
		take_away(ring, true);
		break;
	case 'r':
		take_away(ring, false);
		break;
	case 'p':
		take_all(ring, true);
		break;
	case 'n':
		take_all(ring, false);
		break;
	case 't':
		take_away(ring, true);
		some_in_flight(ring, 1);
		break;
	}
	door(SYS_exit_group, 0, 0, 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct __kernel_timespec pause = { 0, 10000000 };
	bool alive = true;

	if (argc > 1) {
		misbehave(ring, argv[1]);
		return 3;
	}
	for (unsigned i = 0; i < 100; i++) {
		alive &= ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0,
				      0) == 0;
		alive &= ring_syscall(ring, SYS_getpid, 0, 0, 0, 0, 0, 0) > 0;
	}
	say_true("a neighbour of programs that break their rings lives", alive);
	say_is("the door knows calls", door(SYS_getuid, 0, 0, 0), 0);
	say_is("and what is none", door(9999, 0, 0, 0), -ENOSYS);
	say_is("a ring that is none", door(SYS_io_uring_enter, 77, 0, 0), -EBADF);
	say_is("a descriptor that is no ring", door(SYS_io_uring_enter, 1, 0, 0), -EOPNOTSUPP);
	return say_verdict();
}
