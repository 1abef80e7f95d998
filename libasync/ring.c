/*
 * ring: the parts of the raw ring that are not worth inlining: set-up, waiting, ending.
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

int64_t ring_syscall(struct ring *ring, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		     uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);
	uint64_t me = (uint64_t)(uintptr_t)&sqe;
	int64_t result = -EAGAIN;
	bool mine = false;

	if (!sqe)
		return result;
	ring_fill_syscall(sqe, (uint16_t)nr, a0, a1, a2, a3, a4, a5, me);
	ring_publish(ring);
	while (!mine) {
		int err = ring_wait(ring, 1);

		if (err)
			return err;
		mine = ring_cqe(ring)->user_data == me;
		if (mine)
			result = sluice_wide_result(ring_cqe(ring));
		ring_advance(ring, 1);
	}
	return result;
}

_Noreturn void ring_exit(struct ring *ring, int status)
{
	struct io_uring_sqe *sqe;

	while ((sqe = ring_sqe(ring)) == NULL)
		ring_submit(ring);
	ring_fill_syscall(sqe, SYS_exit_group, (uint64_t)(int64_t)status, 0, 0, 0, 0, 0, 0);
	ring_publish(ring);
	for (;;) {
		/* no CQE will come of it: the process is gone first */
		ring_wait(ring, ring_ready(ring) + 1);
	}
}

_Noreturn void ring_die(struct ring *ring, const char *text)
{
	struct io_uring_sqe *sqe;
	uint32_t len = 0;

	while (text[len])
		len++;
	sqe = ring_sqe(ring);
	if (sqe) {
		ring_fill(sqe, IORING_OP_WRITE, 2, ~0ull, (uint64_t)(uintptr_t)text, len, 0, 0);
		sqe->flags = IOSQE_IO_HARDLINK; /* the exit comes after the text */
	}
	ring_exit(ring, 127);
}
