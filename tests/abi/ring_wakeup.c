/*
 * What if an entry is published just as the poller falls asleep, or a completion comes just as the
 * program parks? Delays sweep over the moment in fine steps, thousands of times, and every answer
 * must come within a second without any other call that would cure a lost wake-up.
 *
 * First part: publish, look at NEED_WAKEUP as the protocol says, then only look, never enter. Where
 * the poller watches a doorbell word, publishing has added to it.
 * Second part: a timeout that ends about when the program parks in enter.
 */
#include "libasync/ring.h"

#define ROUNDS 4000u
#define STEP_NS 37u /* odd, so that the sweep falls differently each time around */
#define SWEEP_NS 150000u /* past the longest default spin of a core */

static uint64_t ticks_per_us(void)
{
	return ring_start_info->time_hz / 1000000;
}

static void wait_ns(uint64_t ns)
{
	uint64_t start = async_ticks_read();

	while ((async_ticks_read() - start) * 1000 < ns * ticks_per_us())
		async_relax();
}

/* Looks for one CQE, at most a second. */
static void expect_answer(struct ring *ring, uint64_t user_data, int32_t res, const char *text)
{
	if (!ring_spin(ring, 1, ring_start_info->time_hz) || !ring_ready(ring))
		ring_die(ring, text);
	if (ring_cqe(ring)->user_data != user_data || ring_cqe(ring)->res != res)
		ring_die(ring, "FAIL ring_wakeup: an answer to something else\n");
	ring_advance(ring, 1);
}

static void publish_as_it_sleeps(struct ring *ring)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t before = ring->watch ? __atomic_load_n(ring->watch, __ATOMIC_RELAXED) : 0;

		wait_ns((uint64_t)i * STEP_NS % SWEEP_NS);
		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, i);
		if (ring_submit(ring))
			ring_die(ring, "FAIL ring_wakeup: the doorbell failed\n");
		if (ring->watch && __atomic_load_n(ring->watch, __ATOMIC_RELAXED) == before)
			ring_die(ring, "FAIL ring_wakeup: the watched word was not told\n");
		expect_answer(ring, i, 0, "FAIL ring_wakeup: the poller slept through an entry\n");
	}
}

/* Parks for a second at most: if it takes that long, a wake-up was lost. */
static void park(struct ring *ring)
{
	struct __kernel_timespec second = { .tv_sec = 1 };
	struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)&second };
	int64_t n =
		ring_enter(ring, ring_unsubmitted(ring), 1,
			   IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ring_wake_flags(ring),
			   &arg, sizeof(arg));

	if (n < 0)
		ring_die(ring, "FAIL ring_wakeup: the program slept through a completion\n");
}

static void complete_as_it_parks(struct ring *ring)
{
	struct __kernel_timespec ts = { 0 };

	for (uint32_t i = 0; i < ROUNDS; i++) {
		ts.tv_nsec = (uint64_t)i * STEP_NS % SWEEP_NS;
		ring_fill(ring_sqe(ring), IORING_OP_TIMEOUT, -1, 0, (uint64_t)(uintptr_t)&ts, 1, 0,
			  i);
		if (ring_submit(ring))
			ring_die(ring, "FAIL ring_wakeup: the doorbell failed\n");
		wait_ns((uint64_t)(i ^ 0x55) * STEP_NS % SWEEP_NS);
		park(ring);
		expect_answer(ring, i, -ETIME, "FAIL ring_wakeup: woken without a completion\n");
	}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	static const char ok[] = "ok\n";

	(void)argc;
	(void)argv;
	if (!ring_is_polled(ring) || ticks_per_us() == 0)
		return 0; /* nobody sleeps beside the program */
	publish_as_it_sleeps(ring);
	complete_as_it_parks(ring);
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, 1, ~0ull, (uint64_t)(uintptr_t)ok, 3, 0, 1);
	ring_submit(ring);
	return ring_wait(ring, 1) || ring_cqe(ring)->res != 3;
}
