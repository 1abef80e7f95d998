/*
 * uring: Linux' io_uring by raw system calls, for the opponents of our own ring: no library is
 * between a program and the ring. One thread uses a ring.
 *
 * Every entry has its number as user_data; at the end the sums of those asked and those answered
 * must agree.
 */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

struct uring {
	int fd;
	unsigned enter_flags;
	uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint32_t tail, head, seen; /* our ends; the last sq_head read */
	uint64_t asked, answered;  /* sums of user_data */
	int32_t wanted;		   /* what every answer has to be */
};

static inline void *uring_map(int fd, size_t size, uint64_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			(off_t)offset);

	if (at == MAP_FAILED)
		die("mmap of the ring: %s", strerror(errno));
	return at;
}

/* A ring of `entries`; SQ_AFF puts the polling thread on cpu 1. `registered`: its descriptor,
 * too. */
static inline void uring_open(struct uring *u, unsigned entries, unsigned flags, bool registered)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_cpu = 1, .sq_thread_idle = 2000 };
	struct io_uring_rsrc_update update = { .offset = UINT32_MAX };
	char *sq, *cq;
	uint32_t *array;

	u->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
	if (u->fd < 0)
		die("io_uring_setup: %s", strerror(errno));
	sq = uring_map(u->fd, p.sq_off.array + p.sq_entries * sizeof(*array), IORING_OFF_SQ_RING);
	cq = uring_map(u->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		       IORING_OFF_CQ_RING);
	u->sqes = uring_map(u->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	u->sq_head = (void *)(sq + p.sq_off.head);
	u->sq_tail = (void *)(sq + p.sq_off.tail);
	u->sq_flags = (void *)(sq + p.sq_off.flags);
	u->cq_head = (void *)(cq + p.cq_off.head);
	u->cq_tail = (void *)(cq + p.cq_off.tail);
	u->cqes = (void *)(cq + p.cq_off.cqes);
	u->sq_mask = p.sq_entries - 1;
	u->cq_mask = p.cq_entries - 1;
	array = (void *)(sq + p.sq_off.array);
	for (uint32_t i = 0; i < p.sq_entries; i++)
		array[i] = i;
	if (!registered)
		return;
	update.data = (uint64_t)u->fd;
	if (syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_RING_FDS, &update, 1) != 1)
		die("registering the ring: %s", strerror(errno));
	u->fd = (int)update.offset;
	u->enter_flags |= IORING_ENTER_REGISTERED_RING;
}

/* The next entry, cleared and numbered; shown by uring_publish. The caller knows that there is
 * room. */
static inline struct io_uring_sqe *uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = &u->sqes[u->tail & u->sq_mask];

	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = ++u->tail;
	u->asked += u->tail;
	return sqe;
}

static inline void uring_publish(struct uring *u)
{
	__atomic_store_n(u->sq_tail, u->tail, __ATOMIC_RELEASE);
}

/* `flags` besides those that the ring always wants. */
static inline void uring_enter(struct uring *u, unsigned submit, unsigned complete, unsigned flags)
{
	if (syscall(SYS_io_uring_enter, u->fd, submit, complete, u->enter_flags | flags, NULL, 0) !=
	    (long)submit)
		die("io_uring_enter: %s", strerror(errno));
}

/* Wakes the polling thread if it says that it sleeps: the fence orders our tail before its word. */
static inline void uring_wake(struct uring *u)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(u->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
		syscall(SYS_io_uring_enter, u->fd, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
}

static inline uint32_t uring_ready(const struct uring *u)
{
	return __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE) - u->head;
}

/* Takes every answer that is there and looks at it: how many. */
static inline uint32_t uring_take(struct uring *u)
{
	uint32_t count = uring_ready(u), end = u->head + count;

	if (!count)
		return 0;
	for (; u->head != end; u->head++) {
		const struct io_uring_cqe *cqe = &u->cqes[u->head & u->cq_mask];

		if (cqe->res != u->wanted)
			die("an operation answered %d", cqe->res);
		u->answered += cqe->user_data;
	}
	__atomic_store_n(u->cq_head, u->head, __ATOMIC_RELEASE);
	return count;
}

static inline void uring_nops(struct uring *u, uint32_t count)
{
	while (count--) {
		struct io_uring_sqe *sqe = uring_sqe(u);

		sqe->opcode = IORING_OP_NOP;
		sqe->fd = -1;
	}
	uring_publish(u);
}

#endif
