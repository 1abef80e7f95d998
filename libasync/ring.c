/*
 * ring: the parts of the raw ring that are not worth inlining: set-up and waiting.
 *
 * Runs on the one thread that uses the ring.
 */
#include "ring.h"

static uint32_t *ring_word_at(void *base, uint32_t offset)
{
	return (uint32_t *)((char *)base + offset);
}

void ring_init(struct ring *ring, int fd, const struct io_uring_params *params, void *sq_ring,
	       void *cq_ring, void *sqes, uint64_t door)
{
	const struct io_sqring_offsets *sq = &params->sq_off;
	const struct io_cqring_offsets *cq = &params->cq_off;

	*ring = (struct ring){
		.sq_head = ring_word_at(sq_ring, sq->head),
		.sq_tail = ring_word_at(sq_ring, sq->tail),
		.sq_flags = ring_word_at(sq_ring, sq->flags),
		.cq_head = ring_word_at(cq_ring, cq->head),
		.cq_tail = ring_word_at(cq_ring, cq->tail),
		.sqes = sqes,
		.cqes = (struct io_uring_cqe *)ring_word_at(cq_ring, cq->cqes),
		.sq_entries = params->sq_entries,
		.sq_mask = params->sq_entries - 1,
		.cq_entries = params->cq_entries,
		.cq_mask = params->cq_entries - 1,
		.setup = params->flags,
		.fd = fd,
		.door = door,
		.notify = ring_word_at(cq_ring, cq->flags + sizeof(uint32_t)),
	};
	if (!(params->flags & IORING_SETUP_NO_SQARRAY))
		ring->sq_array = ring_word_at(sq_ring, sq->array);
	ring->sq_next = __atomic_load_n(ring->sq_tail, __ATOMIC_RELAXED);
	ring->sq_shown = ring->sq_next;
	ring->sq_signalled = ring->sq_next;
	ring->sq_seen = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
	ring->cq_next = __atomic_load_n(ring->cq_head, __ATOMIC_RELAXED);
}

int ring_signal(struct ring *ring)
{
	uint32_t flags = ring_wake_flags(ring);
	uint32_t count = ring_unsubmitted(ring);
	int64_t n = 0;

	ring->sq_signalled = ring->sq_shown;
	if (flags || count)
		n = ring_enter(ring, count, 0, flags, NULL, 0);
	return n < 0 ? (int)n : 0;
}

int ring_wait(struct ring *ring, uint32_t n)
{
	while (ring_ready(ring) < n) {
		uint32_t flags = IORING_ENTER_GETEVENTS | ring_wake_flags(ring);
		int64_t got = ring_enter(ring, ring_unsubmitted(ring), n, flags, NULL, 0);

		ring->sq_signalled = ring->sq_shown;
		if (got < 0 && got != -EINTR && got != -EAGAIN && got != -EBUSY)
			return (int)got;
	}
	return 0;
}

__attribute__((noinline)) bool ring_glance(struct ring *ring)
{
	unsigned looks = RING_LOOKS;
	bool ready;

	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	do {
		ready = __atomic_load_n(ring->cq_tail, __ATOMIC_RELAXED) != ring->cq_next;
		async_relax();
	} while (!ready && --looks);
	ASYNC_MARK(RING_MARK_SPIN_END);
	return ready;
}

__attribute__((noinline)) bool ring_spin(struct ring *ring, uint32_t n, uint64_t ticks)
{
	uint64_t start = async_ticks_read();
	bool ready;

	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	do {
		ready = __atomic_load_n(ring->cq_tail, __ATOMIC_RELAXED) - ring->cq_next >= n;
		async_relax();
	} while (!ready && async_ticks_read() - start < ticks);
	ASYNC_MARK(RING_MARK_SPIN_END);
	return ready;
}
