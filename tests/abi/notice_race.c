/*
 * What if a notice comes just when its receiver falls asleep, wakes, traps, or returns from a trap?
 * None is lost: after each NOP one must come, and a timer says when one does not. QEMU 7.2 loses
 * some unless the kernel does something about it (docs/uintr.md). `t_notice_race 1000000` asks so
 * often.
 *
 * env: SLUICE_UINTR=1
 * also: SLUICE_UINTR=1 4000
 * ends: exit status 0
 * also: SLUICE_UINTR=0
 * ends: exit status 0
 */
#include "libasync/notice.h"
#include "tests/abi/lib/text.h"

#define ID 3u
#ifndef ROUNDS
#define ROUNDS 4000u
#endif

static uint64_t seed = 88172645463325252ull, lost, late;

static uint32_t random_below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static void note(uint32_t id)
{
	(void)id;
}

/* A second without it. It is lost if its completion has been there for two: until then perhaps the
 * host did not let the kernel's hart run. */
static void overdue(uint32_t id)
{
	(void)id;
	late = ring_ready(&ring_native) ? late + 1 : 0;
	lost += late == 3;
	notice_timer(async_ticks_read() + ring_start_info->time_hz);
}

static void pause_some(uint32_t n)
{
	for (volatile uint32_t i = 0; i < n; i++)
		;
}

/* Waits for the notice of round `i` in one of several ways. */
static void await(struct ring *ring, uint64_t i, uint32_t way)
{
	uint64_t second = ring_start_info->time_hz;

	late = 0;
	notice_timer(async_ticks_read() + second);
	if (way == 1)
		pause_some(random_below(300));
	if (way == 2) /* a trap, in and out, while it comes */
		ring_enter(ring, 0, 0, 0, NULL, 0);
	if (way == 3) {
		pause_some(random_below(100));
		ring_enter(ring, 0, 0, 0, NULL, 0);
	}
	if (way >= 2) {
		notice_on();
		while (notice_counts[ID] < i && !lost)
			async_relax();
		notice_off();
	} else if (notice_direct) {
		while (notice_counts[ID] < i && !lost)
			notice_wait(ring);
	} else { /* an operation of its own would wait for itself: asleep in enter */
		while (notice_counts[ID] < i && !lost) {
			upcall_enter(ring, 0, 2, IORING_ENTER_GETEVENTS, NULL, 0);
			notice_on();
			notice_off();
		}
	}
	notice_timer(UINT64_MAX);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? text_number(argv[1]) : ROUNDS;

	if (notice_start(ring) < 0)
		ring_die(ring, "notice_race: not registered\n");
	notice_handle(ring, ID, note);
	notice_handle(ring, 0, overdue);
	say_is("notices for the ring",
	       notice_call(ring, SLUICE_NOTICE_RING, ring->fd, ID, NULL), 0);
	for (uint64_t i = 1; i <= rounds && !lost; i++) {
		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, i);
		__atomic_store_n(ring->notify, SLUICE_NOTIFY_ARMED, __ATOMIC_SEQ_CST);
		if (ring_submit(ring))
			ring_die(ring, "notice_race: the doorbell failed\n");
		await(ring, i, random_below(4));
		if (!ring_ready(ring))
			ring_die(ring, "notice_race: a notice without a completion\n");
		ring_advance(ring, 1);
	}
	say_is("no notice was lost", (int64_t)lost, 0);
	say_is("each came once", (int64_t)notice_counts[ID], (int64_t)rounds);
	return say_verdict();
}
