/*
 * b_notice ROUNDS LOOPS: what does a completion cost that interrupts a computing program? Each
 * round submits a NOP and computes for LOOPS loops of two instructions; first with the ring's
 * notify word left alone ("I am polling"), then with it armed, so that a notice comes into the
 * computation. The difference is the notice, on both sides.
 */
#include "libasync/notice.h"
#include "lib/guest.h"

#define ID 1u

static void note(uint32_t id)
{
	(void)id;
}

static void compute(uint64_t loops)
{
	do
		__asm__ volatile("" : "+r"(loops));
	while (--loops);
}

static void rounds_run(struct ring *ring, uint64_t rounds, uint64_t loops, uint32_t word)
{
	uint64_t before = notice_counts[ID], late = 0;

	ASYNC_MARK(GUEST_MARK_BEGIN);
	for (uint64_t i = 0; i < rounds; i++) {
		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, i);
		__atomic_store_n(ring->notify, word, __ATOMIC_SEQ_CST);
		if (ring_submit(ring))
			ring_die(ring, "b_notice: the doorbell failed\n");
		notice_on();
		compute(loops);
		notice_off();
		while (!ring_spin(ring, 1, UINT64_MAX))
			late++;
		ring_ready(ring);
		ring_advance(ring, 1);
	}
	ASYNC_MARK(GUEST_MARK_END);
	guest_say(ring, "bench: notice=%u rounds=%llu loops=%llu notices=%llu\n", word,
		  (unsigned long long)rounds, (unsigned long long)loops,
		  (unsigned long long)(notice_counts[ID] - before));
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t rounds, loops;

	if (argc != 3)
		ring_die(ring, "usage: b_notice ROUNDS LOOPS\n");
	rounds = guest_number(ring, argv[1]);
	loops = guest_number(ring, argv[2]);
	if (notice_start(ring) != SLUICE_NOTICE_DIRECT)
		ring_die(ring, "b_notice: no user interrupts here\n");
	notice_handle(ring, ID, note);
	if (notice_call(ring, SLUICE_NOTICE_RING, ring->fd, ID, NULL))
		ring_die(ring, "b_notice: no notices for the ring\n");
	rounds_run(ring, rounds / 10, loops, 0); /* warm */
	rounds_run(ring, rounds, loops, 0);
	rounds_run(ring, rounds, loops, SLUICE_NOTIFY_ARMED);
	return 0;
}
