/*
 * What if far more operations are wanted at once than the submission queue, or the completion
 * queue, has room for, or if the program never idles? Nobody is forgotten, and every answer finds
 * its question.
 */
#include "lib/async_check.h"
#include "uapi/mman.h"

#define CROWD 1500 /* more than 1024 completions */

static int64_t inject(void *arg)
{
	struct async_io io;
	struct io_uring_sqe *sqe;

	/* a NOP whose result we choose (nop_flags bit 0: len is the result) */
	for (int i = 0; i < 3; i++) {
		sqe = async_io_begin(&io);
		CHECK(sqe != NULL);
		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, (uint32_t)(intptr_t)arg,
			  IORING_NOP_INJECT_RESULT, (uint64_t)(uintptr_t)&io);
		CHECK_EQ(async_io_wait(&io), (intptr_t)arg);
	}
	return 0;
}

static uint32_t flood_waiting;

/* All due at the same moment: the answers come as one flood. */
static int64_t wait_together(void *arg)
{
	struct __kernel_timespec ts = { .tv_nsec = 300 * 1000 * 1000 };

	(void)arg;
	flood_waiting++;
	CHECK_EQ(async_op(IORING_OP_TIMEOUT, -1, 0, &ts, 1, 0), -ETIME);
	return 0;
}

static void test_flood(async_fn fn)
{
	struct async_group group;

	async_group_init(&group);
	for (intptr_t i = 0; i < CROWD; i++)
		CHECK_EQ(async_group_spawn(&group, fn, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
}

/* A flood that nobody takes for a while: the queue overflows, the kernel says so, nothing is
 * lost. */
static void test_overflow(void)
{
	const struct ring *ring = &async_here()->ring;
	struct async_group group;
	uint64_t start;

	async_group_init(&group);
	for (intptr_t i = 0; i < CROWD; i++)
		CHECK_EQ(async_group_spawn(&group, wait_together, NULL), 0);
	while (flood_waiting < CROWD)
		async_yield();
	/* past the last one's end, without looking once */
	for (start = async_now_ns(); async_now_ns() - start < 400 * ASYNC_MS;)
		;
	/* Linux serves so many timers when it gets to it */
	if (ring_is_polled(ring) && !ASYNC_ON_LINUX) {
		CHECK_EQ(ring_ready(ring), ring->cq_entries);
		CHECK(*(volatile uint32_t *)ring->sq_flags & IORING_SQ_CQ_OVERFLOW);
	}
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(*(volatile uint32_t *)ring->sq_flags & IORING_SQ_CQ_OVERFLOW, 0);
}

/* Somebody is always runnable: answers are taken all the same. */
static int64_t wait_a_little(void *arg)
{
	struct __kernel_timespec ts = { .tv_nsec = 5 * 1000 * 1000 };

	CHECK_EQ(async_op(IORING_OP_TIMEOUT, -1, 0, &ts, 1, 0), -ETIME);
	*(bool *)arg = true;
	return 0;
}

static void test_busy(void)
{
	bool done = false;
	struct async_co *co = async_spawn(wait_a_little, &done);
	uint64_t start = async_now_ns();

	while (!done && async_now_ns() - start < 20 * ASYNC_S)
		async_yield();
	CHECK(done);
	CHECK_EQ(async_join(co, NULL), 0);
}

static void test_mappings(void)
{
	int64_t first = async_syscall(SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);

	CHECK(first > 0);
	CHECK_EQ(async_syscall(SYS_munmap, (uint64_t)first, 1 << 20, 0, 0, 0, 0), 0);
	CHECK_EQ(async_syscall(SYS_munmap, 1, 4096, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(async_syscall(500, 0, 0, 0, 0, 0, 0), -ENOSYS);
}

int main(void)
{
	test_flood(inject);
	test_overflow();
	test_busy();
	test_mappings();
	return async_printf("ok\n") == 3 ? 0 : 1;
}
