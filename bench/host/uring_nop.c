/*
 * uring_nop FLAGS BATCH MS: NOPs per second of this host's own io_uring, the opponent of the hosted
 * machine.
 *
 *	enter		one io_uring_enter submits BATCH entries and waits for them
 *	regfd		the same, the ring's descriptor registered
 *	defer		the same, DEFER_TASKRUN | SINGLE_ISSUER
 *	defer+regfd	both
 *	sqpoll		a kernel thread on cpu 1 polls; this one, on cpu 0, stores the tail every BATCH
 *			entries, keeps at most 256 under way, and spins on the completions
 *
 * Every answer is checked. Prints one number. Raw system calls: no library is between us and the
 * ring.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

#define ENTRIES 256u
#define WARM_NS 30000000u

struct uring {
	int fd;
	unsigned enter_flags;
	uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint32_t tail, head, seen; /* our ends; the last sq_head read */
	uint64_t asked, answered;  /* sums of user_data */
};

static void *uring_map(int fd, size_t size, uint64_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			(off_t)offset);

	if (at == MAP_FAILED)
		die("mmap of the ring: %s", strerror(errno));
	return at;
}

static void uring_open(struct uring *u, unsigned flags, bool registered)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_cpu = 1, .sq_thread_idle = 2000 };
	struct io_uring_rsrc_update update = { .offset = UINT32_MAX };
	char *sq, *cq;
	uint32_t *array;

	u->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (u->fd < 0)
		die("io_uring_setup: %s", strerror(errno));
	sq = uring_map(u->fd, p.sq_off.array + ENTRIES * sizeof(*array), IORING_OFF_SQ_RING);
	cq = uring_map(u->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		       IORING_OFF_CQ_RING);
	u->sqes = uring_map(u->fd, ENTRIES * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	u->sq_head = (void *)(sq + p.sq_off.head);
	u->sq_tail = (void *)(sq + p.sq_off.tail);
	u->sq_flags = (void *)(sq + p.sq_off.flags);
	u->cq_head = (void *)(cq + p.cq_off.head);
	u->cq_tail = (void *)(cq + p.cq_off.tail);
	u->cqes = (void *)(cq + p.cq_off.cqes);
	u->sq_mask = p.sq_entries - 1;
	u->cq_mask = p.cq_entries - 1;
	array = (void *)(sq + p.sq_off.array);
	for (uint32_t i = 0; i < ENTRIES; i++)
		array[i] = i;
	if (!registered)
		return;
	update.data = (uint64_t)u->fd;
	if (syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_RING_FDS, &update, 1) != 1)
		die("registering the ring: %s", strerror(errno));
	u->fd = (int)update.offset;
	u->enter_flags |= IORING_ENTER_REGISTERED_RING;
}

static void uring_fill(struct uring *u, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = &u->sqes[u->tail & u->sq_mask];

		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_NOP;
		sqe->fd = -1;
		sqe->user_data = ++u->tail;
		u->asked += u->tail;
	}
	__atomic_store_n(u->sq_tail, u->tail, __ATOMIC_RELEASE);
}

static uint32_t uring_take(struct uring *u)
{
	uint32_t tail = __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE), count = tail - u->head;

	if (!count)
		return 0;
	for (; u->head != tail; u->head++) {
		const struct io_uring_cqe *cqe = &u->cqes[u->head & u->cq_mask];

		if (cqe->res)
			die("a NOP failed: %d", cqe->res);
		u->answered += cqe->user_data;
	}
	__atomic_store_n(u->cq_head, u->head, __ATOMIC_RELEASE);
	return count;
}

static uint64_t round_enter(struct uring *u, uint32_t batch)
{
	uring_fill(u, batch);
	if (syscall(SYS_io_uring_enter, u->fd, batch, batch,
		    u->enter_flags | IORING_ENTER_GETEVENTS, NULL, 0) != (long)batch)
		die("io_uring_enter: %s", strerror(errno));
	if (uring_take(u) != batch)
		die("answers are missing");
	return batch;
}

static uint64_t round_sqpoll(struct uring *u, uint32_t batch)
{
	uint32_t count;

	u->seen = __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE);
	if (ENTRIES - (u->tail - u->seen) >= batch && u->tail - u->head + batch <= ENTRIES) {
		uring_fill(u, batch);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(u->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
			syscall(SYS_io_uring_enter, u->fd, batch, 0, IORING_ENTER_SQ_WAKEUP, NULL,
				0);
	}
	count = uring_take(u);
	if (!count)
		relax();
	return count;
}

int main(int argc, char **argv)
{
	uint64_t (*round)(struct uring *, uint32_t) = round_enter;
	struct uring u = { 0 };
	uint64_t now, begin = 0, end = 0, done = 0;
	uint32_t batch;
	unsigned flags = 0;

	if (argc != 4)
		die("usage: uring_nop FLAGS BATCH MS");
	batch = (uint32_t)number(argv[2], 1, ENTRIES);
	if (!strncmp(argv[1], "defer", 5))
		flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER;
	if (!strcmp(argv[1], "sqpoll")) {
		flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;
		round = round_sqpoll;
	}
	pin_to(0);
	uring_open(&u, flags, strstr(argv[1], "regfd") != NULL);
	for (unsigned n = 0;; n++) {
		done += round(&u, batch);
		if (n % 16)
			continue;
		now = now_ns();
		if (!begin) {
			begin = now + WARM_NS;
			end = begin + number(argv[3], 1, 100000) * 1000000;
		}
		if (now < begin) {
			done = 0;
			continue;
		}
		if (now >= end)
			break;
	}
	printf("%.0f\n", (double)done * 1e9 / (double)(now - begin));
	while (u.head != u.tail)
		uring_take(&u);
	if (u.asked != u.answered)
		die("the answers are not those of the questions");
	return 0;
}
