/*
 * What if a program uses the bare ring and no coroutines? NOPs one at a time and a ringful at once
 * are all answered, each with its own user_data, also as one chain as long as the ring; a system
 * call's 64-bit answer arrives whole.
 */
#include "libasync/ring.h"
#include "uapi/mman.h"

static int fail(struct ring *ring, const char *text)
{
	ring_die(ring, text);
	return 1;
}

static int nops(struct ring *ring, uint32_t count, uint64_t first)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < count; i++)
		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, first + i);
	if (ring_submit(ring) || ring_wait(ring, count))
		return fail(ring, "ring_nop: the doorbell failed\n");
	for (uint32_t i = 0; i < count; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);

		if (cqe->res || cqe->flags)
			return fail(ring, "ring_nop: a NOP failed\n");
		seen += cqe->user_data - first;
	}
	ring_advance(ring, count);
	if (seen != (uint64_t)count * (count - 1) / 2)
		return fail(ring, "ring_nop: answers are not those of the questions\n");
	return 0;
}

/* What the machine was started with is told: all maps of these tests name a spin budget. */
static bool start_is_told(void)
{
	const struct sluice_start *s = ring_start_info;
	bool mixed = s->flags & SLUICE_START_MIXED;

	return s->size == sizeof(*s) && s->version == SLUICE_START_VERSION &&
	       (s->flags & SLUICE_START_SPIN_GIVEN) && (s->core == s->kernel_core) == mixed;
}

/* Each member ends at once and so begins the next one. */
static int chain(struct ring *ring, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_sqe(ring);

		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, i);
		sqe->flags = i + 1 < count ? IOSQE_IO_LINK : 0;
	}
	if (ring_submit(ring) || ring_wait(ring, count))
		return fail(ring, "ring_nop: the doorbell failed\n");
	for (uint32_t i = 0; i < count; i++)
		if (ring_cqe_at(ring, i)->res || ring_cqe_at(ring, i)->user_data != i)
			return fail(ring, "ring_nop: a chain is not in order\n");
	ring_advance(ring, count);
	return 0;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	static const char ok[] = "ok\n";
	int64_t page;

	(void)argc;
	(void)argv;
	if (!start_is_told())
		return fail(ring, "ring_nop: the start block does not say how it was started\n");
	for (uint32_t i = 0; i < 2000; i++)
		nops(ring, 1, 1000 + i);
	for (uint32_t i = 0; i < 200; i++)
		nops(ring, ring->sq_entries, (uint64_t)i << 40);
	for (uint32_t i = 0; i < 10; i++)
		chain(ring, ring->sq_entries);
	page = ring_syscall(ring, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
	if (page < 0 && page >= -ERRNO_MAX)
		return fail(ring, "ring_nop: no page\n");
	*(volatile uint64_t *)(uintptr_t)page = 42;
	if (ring_syscall(ring, SYS_munmap, (uint64_t)page, 4096, 0, 0, 0, 0) != 0)
		return fail(ring, "ring_nop: no unmapping\n");
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, 1, ~0ull, (uint64_t)(uintptr_t)ok, 3, 0, 1);
	ring_submit(ring);
	return ring_wait(ring, 1) || ring_cqe(ring)->res != 3;
}
