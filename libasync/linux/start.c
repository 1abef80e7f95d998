/*
 * start (Linux): makes the ring that a program of Sluice is born with, before main runs; and the
 * end of a program. crt.c is the same for Sluice.
 *
 * The kernel is asked for its best kind of ring first; what it refuses with EINVAL it does not
 * know, and the next kind is tried:
 *
 *	defer   completions are worked on by this thread, when it asks (6.6; without the
 *	        promise about the index array, 6.1)
 *	coop    ... whenever it enters the kernel (5.19)
 *	plain   ... at once, by interrupting it
 *	sqpoll  a kernel thread polls the submission queue
 *
 * The environment's LIBASYNC_RING names the kind to begin with; sqpoll is used only when named.
 *
 * Runs on the thread that will use the ring, which is bound to it: that of main, and those of more
 * executors. A child after fork has no ring.
 */
#include <stdlib.h>
#include <string.h>

#include "libasync/internal.h"
#include "start.h"
#include "uapi/mman.h"

#define START_POLL_IDLE_MS 100u /* then the kernel's polling thread sleeps */

struct ring ring_native;
static struct sluice_start start_info;
const struct sluice_start *ring_start_info = &start_info;
bool async_linux_nop_answers;

struct start_kind {
	const char *name;
	uint32_t flags;
};

static const struct start_kind start_kinds[] = {
	{ "sqpoll", IORING_SETUP_SQPOLL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY },
	{ "sqpoll", IORING_SETUP_SQPOLL },
	{ "defer", IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY },
	{ "defer", IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			   IORING_SETUP_SINGLE_ISSUER },
	{ "coop", IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG },
	{ "plain", 0 },
};
#define START_KINDS (sizeof(start_kinds) / sizeof(start_kinds[0]))

/* ---- the end ---- */

_Noreturn void ring_exit(struct ring *ring, int status)
{
	ring_submit(ring);
	exit(status);
}

_Noreturn void ring_die(struct ring *ring, const char *text)
{
	(void)ring;
	async_linux_call(SYS_write, 2, (uint64_t)(uintptr_t)text, strlen(text), 0, 0, 0);
	_Exit(127);
}

int64_t ring_syscall(struct ring *ring, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		     uint64_t a3, uint64_t a4, uint64_t a5)
{
	(void)ring;
	return async_linux_call(nr, a0, a1, a2, a3, a4, a5);
}

/* ---- the beginning ---- */

static _Noreturn void start_fail(int64_t err)
{
	switch (-err) {
	case ENOSYS:
		ring_die(NULL, "libasync: io_uring_setup: ENOSYS: this kernel has no io_uring\n");
	case EPERM:
	case EACCES:
		ring_die(NULL, "libasync: io_uring_setup: EPERM: forbidden on this machine "
			       "(kernel.io_uring_disabled, or a filter of system calls)\n");
	case EINVAL:
		ring_die(NULL, "libasync: io_uring_setup: EINVAL: this kernel's io_uring lacks "
			       "something (Linux 6.1 or later is needed)\n");
	case ENOMEM:
		ring_die(NULL, "libasync: io_uring_setup: ENOMEM\n");
	case EMFILE:
	case ENFILE:
		ring_die(NULL, "libasync: io_uring_setup: EMFILE: too many open files\n");
	}
	ring_die(NULL, "libasync: io_uring_setup fails\n");
}

/* The descriptor of a ring of the best kind there is, from the one named on. */
static int start_setup(struct io_uring_params *params)
{
	const char *name = getenv("LIBASYNC_RING");
	unsigned kind = 0;
	int64_t fd;

	if (!name || !*name)
		name = "defer";
	while (kind < START_KINDS && strcmp(start_kinds[kind].name, name))
		kind++;
	if (kind == START_KINDS)
		ring_die(NULL, "libasync: LIBASYNC_RING is none of sqpoll, defer, coop, plain\n");
	do {
		*params = (struct io_uring_params){
			.flags = start_kinds[kind].flags | IORING_SETUP_CQSIZE |
				 IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
			.cq_entries = SLUICE_RING_CQ_ENTRIES,
			.sq_thread_idle = START_POLL_IDLE_MS,
		};
		fd = async_linux_call(SYS_io_uring_setup, SLUICE_RING_SQ_ENTRIES,
				      (uint64_t)(uintptr_t)params, 0, 0, 0, 0);
	} while (fd == -EINVAL && ++kind < START_KINDS);
	return fd < 0 ? (start_fail(fd), -1) : (int)fd;
}

static void *start_map(int fd, uint64_t bytes, uint64_t offset)
{
	int64_t at = async_linux_call(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_POPULATE, (uint64_t)fd, offset);

	if (at < 0 && at >= -ERRNO_MAX)
		start_fail(at);
	return (void *)(uintptr_t)at;
}

/* Can a NOP answer what it is told to? */
static bool start_asks_nop(struct ring *ring)
{
	int32_t res;

	ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 42, IORING_NOP_INJECT_RESULT, 0);
	ring_publish(ring);
	if (ring_wait(ring, 1))
		ring_die(ring, "libasync: io_uring_enter fails\n");
	res = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	return res == 42;
}

/* A ring of the calling thread's own, and what there is to tell about it. */
static void start_ring(struct ring *ring, struct sluice_start *info)
{
	const uint32_t needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP |
				IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
	struct io_uring_params *params = &info->params;
	int fd = start_setup(params);
	uint64_t rings = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	uint64_t array = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	void *sq, *sqes;

	if ((params->features & needed) != needed)
		start_fail(-EINVAL);
	sq = start_map(fd, rings > array ? rings : array, IORING_OFF_SQ_RING);
	sqes = start_map(fd, params->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	info->size = sizeof(*info);
	info->version = SLUICE_START_VERSION;
	info->ring_fd = fd;
	info->sq_ring = info->cq_ring = (uint64_t)(uintptr_t)sq;
	info->sqes = (uint64_t)(uintptr_t)sqes;
	info->time_hz = ASYNC_S;
	ring_init(ring, fd, params, sq, sq, sqes, 0);
}

void async_linux_ring(struct ring *ring)
{
	struct sluice_start info = { 0 };

	start_ring(ring, &info);
}

/* Before main, and before the constructors of the program itself. */
__attribute__((constructor(101))) static void start(void)
{
	start_ring(&ring_native, &start_info);
	async_linux_nop_answers = start_asks_nop(&ring_native);
	async_start(&ring_native);
}
