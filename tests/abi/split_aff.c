/*
 * Is a ring polled by the core that its maker names, although every ring is moved on each 100 us
 * and calls from its home come in between; and are cores refused that cannot? (map: split.conf,
 * whose core 1 serves the network and 2 runs programs)
 *
 * boot: move_us=100
 */
#include "tests/abi/lib/cores.h"
#include "uapi/mman.h"

#define NOPS 20000u
#define BATCH 32u

static struct core before[CORES_MAX], after[CORES_MAX];

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		    uint64_t a5)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, a4, a5);
}

static int64_t make(struct io_uring_params *params, uint32_t flags, uint32_t cpu)
{
	*params = (struct io_uring_params){ .flags = flags, .sq_thread_cpu = cpu };
	return call(SYS_io_uring_setup, 64, (uint64_t)(uintptr_t)params, 0, 0, 0, 0);
}

static void *map(int64_t fd, uint64_t off, uint64_t len)
{
	return (void *)(uintptr_t)call(SYS_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
				       (uint64_t)fd, off);
}

/* NOPs on the ring; every 32nd batch something is asked of its home core. */
static uint32_t work(struct ring *ring)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < NOPS / BATCH; i++) {
		for (uint32_t k = 0; k < BATCH; k++)
			ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, k);
		ring_submit(ring);
		ring_wait(ring, BATCH);
		for (uint32_t k = 0; k < BATCH; k++)
			wrong += ring_cqe_at(ring, k)->res != 0 ||
				 ring_cqe_at(ring, k)->user_data != k;
		ring_advance(ring, BATCH);
		if (i % 32 == 0)
			wrong += call(SYS_io_uring_register, (uint64_t)ring->fd,
				      IORING_REGISTER_IOWQ_AFF, 0, 0, 0, 0) != -EINVAL;
	}
	return wrong;
}

int ring_main(struct ring *native, int argc, char **argv)
{
	const uint32_t flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_NO_SQARRAY;
	struct io_uring_params params;
	struct ring ring;
	void *shared;
	int64_t fd;

	(void)argc, (void)argv;
	say_is("a core that runs programs", make(&params, flags, 2), -EINVAL);
	say_is("a core that there is not", make(&params, flags, 9), -EINVAL);
	say_is("far away", make(&params, flags, UINT32_MAX), -EINVAL);
	say_is("nobody polls", make(&params, IORING_SETUP_SQ_AFF, 1), -EINVAL);
	fd = make(&params, flags, 1);
	say_true("the net core", fd > 2);
	shared = map(fd, IORING_OFF_SQ_RING, 4096);
	ring_init(&ring, (int)fd, &params, shared, shared,
		  map(fd, IORING_OFF_SQES, 64 * sizeof(struct io_uring_sqe)), native->door);
	(void)look(before);
	say_is("answers that are wrong", work(&ring), 0);
	(void)look(after);
	say_true("its entries were taken there, all but a few on the way",
		 after[1].sqes - before[1].sqes > NOPS / 10 * 9);
	return say_verdict();
}
