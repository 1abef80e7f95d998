/*
 * ring: the raw ring, as the program side sees it: take an SQE, fill it, publish, look for CQEs,
 * ring the doorbell. libasync's coroutines stand on this; benches and ABI tests use it alone.
 *
 * One thread uses a ring. A polled ring (SQPOLL) is emptied by a kernel core while the program
 * runs; any other is emptied inside ring_enter. ring_signal and ring_wait hide the difference.
 *
 * A program that wants no coroutines defines ring_main instead of main:
 *
 *	int ring_main(struct ring *ring, int argc, char **argv)
 *	{
 *		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 42);
 *		ring_submit(ring);
 *		return ring_wait(ring, 1) == 0 && ring_cqe(ring)->user_data == 42 ? 0 : 1;
 *	}
 *
 * Its result becomes the exit status of the process.
 */
#ifndef LIBASYNC_RING_H
#define LIBASYNC_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __riscv
#include "arch/riscv64/async_arch.h"
#else
#include "arch/x86_64/async_arch.h"
#endif
#include "uapi/errno.h"
#include "uapi/io_uring.h"
#include "uapi/sluice.h"
#include "uapi/syscall.h"

#define ring_likely(x) __builtin_expect(!!(x), 1)
#define ring_unlikely(x) __builtin_expect(!!(x), 0)

struct ring {
	/* set once: addresses in the shared mappings */
	uint32_t *sq_head;  /* written by the kernel */
	uint32_t *sq_tail;  /* written here */
	uint32_t *sq_flags; /* written by the kernel: IORING_SQ_* */
	uint32_t *sq_array; /* NULL when index = slot (NO_SQARRAY) */
	uint32_t *cq_head;  /* written here */
	uint32_t *cq_tail;  /* written by the kernel */
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint32_t sq_mask, sq_entries;
	uint32_t cq_mask, cq_entries;
	uint32_t setup; /* IORING_SETUP_* the ring was made with */
	int32_t fd;
	uint64_t door; /* hosted machine: address of the doorbell; elsewhere 0 */
	uint32_t *watch; /* SLUICE_SQ_WATCHED: the word that the poller watches */
	uint32_t *notify; /* the word that says how its thread is told (uapi/notice.h) */

	/* this thread only; free-running counts like the shared ones */
	uint32_t sq_next;      /* SQEs taken */
	uint32_t sq_shown;     /* SQEs published: what *sq_tail holds */
	uint32_t sq_signalled; /* SQEs of which the poller certainly knows */
	uint32_t sq_seen;      /* last *sq_head read */
	uint32_t cq_next;      /* CQEs taken: what *cq_head holds or will hold */
};

/* The ring this process was born with; valid from the first line of ring_main. */
extern struct ring ring_native;
/* What a program without coroutines defines; libasync's own (weak) starts them and calls main. */
int ring_main(struct ring *ring, int argc, char **argv);
/* What the kernel told about it (uapi/sluice.h). */
extern const struct sluice_start *ring_start_info;

/* Makes `ring` from a parameter block that setup filled in, and the addresses of its mappings. */
void ring_init(struct ring *ring, int fd, const struct io_uring_params *params, void *sq_ring,
	       void *cq_ring, void *sqes, uint64_t door);

/* A plain system call through the ring, waiting for its answer: for programs without coroutines.
 * Assumes that no other CQE is on its way: one that arrives meanwhile is dropped. */
int64_t ring_syscall(struct ring *ring, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		     uint64_t a3, uint64_t a4, uint64_t a5);

/* Ends the process. */
_Noreturn void ring_exit(struct ring *ring, int status);

/* Writes `text` to descriptor 2 through `ring` and ends the process with status 127: for programs
 * that found something impossible. */
_Noreturn void ring_die(struct ring *ring, const char *text);

/* ---- more threads (Sluice only; uapi/sluice.h, IORING_OP_THREAD) ---- */

/* One more thread with a ring of its own. It belongs to whoever starts it, and stays until the
 * thread has ended: its word `tid` is 0 then, and FUTEX_WAIT on it waits for that. */
struct ring_thread {
	struct sluice_thread ask;
	struct sluice_start start; /* written by the kernel */
	struct ring ring;	   /* made by the thread, of `start`, before fn */
	void (*fn)(struct ring_thread *thread);
	void *arg;
	uint32_t tid;
};

/* Prepares a thread that runs fn on [stack, stack + bytes), with the thread pointer `tp`, on core
 * `core` or SLUICE_ANY_CORE; ring_fill_thread asks for it: its number, or -errno. It ends when fn
 * returns. */
void ring_thread_init(struct ring_thread *thread, void (*fn)(struct ring_thread *), void *arg,
		      void *stack, size_t bytes, uint64_t tp, uint32_t core);

/* Ends the thread that runs; with the last one the process. */
_Noreturn void ring_thread_exit(struct ring *ring, int status);

/* ---- submitting ---- */

/* Free SQEs; reads the kernel's head (pairs with the release store after a batch is copied). */
static inline uint32_t ring_space(struct ring *ring)
{
	/* model: ring-space */
	ring->sq_seen = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
	return ring->sq_entries - (ring->sq_next - ring->sq_seen);
}

/* The next SQE to fill, or NULL when the queue is full. Its old contents are still in it: fill all
 * 64 bytes (ring_fill). Not visible to the kernel before ring_publish. */
static inline struct io_uring_sqe *ring_sqe(struct ring *ring)
{
	if (ring_unlikely(ring->sq_next - ring->sq_seen >= ring->sq_entries) && !ring_space(ring))
		return NULL;
	return &ring->sqes[ring->sq_next++ & ring->sq_mask];
}

/* Takes up to `want` free SQEs that lie side by side, the first through *first: how many, 0 when
 * the queue is full. For batches: fill each whole, in order; ask again for the rest, which begins
 * at the start of the array. */
static inline uint32_t ring_sqes(struct ring *ring, uint32_t want, struct io_uring_sqe **first)
{
	uint32_t at = ring->sq_next & ring->sq_mask;
	uint32_t run = ring->sq_entries - at;
	uint32_t room = ring->sq_entries - (ring->sq_next - ring->sq_seen);

	if (ring_unlikely(room < want))
		room = ring_space(ring);
	if (want > run)
		want = run;
	if (want > room)
		want = room;
	*first = &ring->sqes[at];
	ring->sq_next += want;
	return want;
}

typedef uint64_t __attribute__((may_alias)) ring_word;

/* Flags of a FUTEX_WAIT or _WAKE on a word of 32 bits in the program's own memory. */
#define RING_FUTEX_FLAGS 0x82

/* What must hold here: said to reader and analyzers, free, and not checked. */
#define ring_known(cond)                                                                           \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_unreachable();                                                   \
	} while (0)

/* Fills a whole SQE: the fields every operation has, and zero for the others. */
static inline void ring_fill(struct io_uring_sqe *sqe, uint8_t opcode, int32_t fd, uint64_t off,
			     uint64_t addr, uint32_t len, uint32_t op_flags, uint64_t user_data)
{
	ring_word *w = (ring_word *)sqe;

	ring_known(sqe);
	w[0] = opcode | (uint64_t)(uint32_t)fd << 32;
	w[1] = off;
	w[2] = addr;
	w[3] = len | (uint64_t)op_flags << 32;
	w[4] = user_data;
	w[5] = 0;
	w[6] = 0;
	w[7] = 0;
}

/* On Linux, whose kernel does not know IORING_OP_SYSCALL, a system call is made on the spot by
 * these two (linux/call.c): `nr` as in uapi/syscall.h on every machine; fills a NOP that answers
 * `result`, or -EOVERFLOW when that does not fit 32 bits. Elsewhere they do not exist. */
int64_t async_linux_call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4, uint64_t a5);
void async_linux_fill(struct io_uring_sqe *sqe, int64_t result, uint64_t user_data);

/* Fills a system call (uapi/sluice.h); the answer is sluice_wide_result of its CQE. On Linux the
 * call is made here and now, and the answer is the CQE's res. */
static inline void ring_fill_syscall(struct io_uring_sqe *sqe, uint16_t nr, uint64_t a0,
				     uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				     uint64_t a5, uint64_t user_data)
{
	ring_word *w = (ring_word *)sqe;

	ring_known(sqe);
	if (ASYNC_ON_LINUX) {
		async_linux_fill(sqe, async_linux_call(nr, a0, a1, a2, a3, a4, a5), user_data);
		return;
	}
	w[0] = IORING_OP_SYSCALL | (uint64_t)nr << 32;
	w[1] = a0;
	w[2] = a1;
	w[3] = a2;
	w[4] = user_data;
	w[5] = a3;
	w[6] = a4;
	w[7] = a5;
}

/* Shows the kernel every SQE taken so far (release: pairs with the acquire of the dequeue). */
static inline void ring_publish(struct ring *ring)
{
	if (ring_unlikely(ring->sq_array != NULL))
		for (uint32_t i = ring->sq_shown; i != ring->sq_next; i++)
			ring->sq_array[i & ring->sq_mask] = i & ring->sq_mask;
	ring->sq_shown = ring->sq_next;
	/* model: ring-publish-tail */
	__atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
}

static inline void ring_fill_thread(struct io_uring_sqe *sqe, struct ring_thread *thread,
				    uint64_t user_data)
{
	ring_fill(sqe, IORING_OP_THREAD, 0, 0, (uint64_t)(uintptr_t)&thread->ask,
		  sizeof(thread->ask), 0, user_data);
}

/* Waits while *word is `value`: 0 when woken, -EAGAIN if it is another one. */
static inline void ring_fill_futex_wait(struct io_uring_sqe *sqe, const uint32_t *word,
					uint32_t value, uint64_t user_data)
{
	ring_fill(sqe, IORING_OP_FUTEX_WAIT, RING_FUTEX_FLAGS, value, (uint64_t)(uintptr_t)word, 0,
		  0, user_data);
	sqe->addr3 = UINT32_MAX;
}

/* Wakes at most `count` of those who wait: how many there were. */
static inline void ring_fill_futex_wake(struct io_uring_sqe *sqe, const uint32_t *word,
					uint32_t count, uint64_t user_data)
{
	ring_fill(sqe, IORING_OP_FUTEX_WAKE, RING_FUTEX_FLAGS, count, (uint64_t)(uintptr_t)word, 0,
		  0, user_data);
	sqe->addr3 = UINT32_MAX;
}

static inline bool ring_is_polled(const struct ring *ring)
{
	return (ring->setup & IORING_SETUP_SQPOLL) != 0;
}

/* The doorbell: entries consumed, or -errno. See uapi/sluice.h. */
static inline int64_t ring_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete,
				 uint32_t flags, const void *arg, size_t argsz)
{
	return async_door(ring->door, SYS_io_uring_enter, (uint64_t)ring->fd, to_submit,
			  min_complete, flags, (uint64_t)(uintptr_t)arg, argsz);
}

/* Published entries that an enter has to name: none on a polled ring. */
static inline uint32_t ring_unsubmitted(struct ring *ring)
{
	if (ring_is_polled(ring))
		return 0;
	ring->sq_seen = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
	return ring->sq_shown - ring->sq_seen;
}

/* The flags an enter needs so that a polled ring's poller wakes, if it sleeps. The fence orders our
 * store of the tail before the load of the flags; it pairs with the poller's fence between setting
 * NEED_WAKEUP and its last look at the tail. */
static inline uint32_t ring_wake_flags_polled(struct ring *ring)
{
	uint32_t flags;

	/* model: wake-fence */
	async_fence_full();
	/* model: wake-look */
	flags = __atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED);
	if (ring_likely(!(flags & IORING_SQ_NEED_WAKEUP) && !(flags & SLUICE_SQ_WATCHED)))
		return 0;
	if (flags & SLUICE_SQ_WATCHED && ring->watch)
		__atomic_fetch_add(ring->watch, 1, __ATOMIC_RELAXED);
	return flags & IORING_SQ_NEED_WAKEUP ? IORING_ENTER_SQ_WAKEUP : 0;
}

/* The same of any ring. */
static inline uint32_t ring_wake_flags(struct ring *ring)
{
	return ring_is_polled(ring) ? ring_wake_flags_polled(ring) : 0;
}

/* Makes sure that the kernel works on what was published: submits it, or wakes a sleeping poller.
 * 0 or -errno. */
int ring_signal(struct ring *ring);

/* Publish and signal. */
static inline int ring_submit(struct ring *ring)
{
	ring_publish(ring);
	return ring_signal(ring);
}

/* ---- completions ---- */

/* CQEs waiting (acquire: pairs with the release store after a CQE is written). */
static inline uint32_t ring_ready(const struct ring *ring)
{
	/* model: ring-ready */
	return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - ring->cq_next;
}

/* The oldest CQE; meaningful when ring_ready said that there is one. */
static inline struct io_uring_cqe *ring_cqe(const struct ring *ring)
{
	return &ring->cqes[ring->cq_next & ring->cq_mask];
}

/* The CQE `n` behind the oldest. */
static inline struct io_uring_cqe *ring_cqe_at(const struct ring *ring, uint32_t n)
{
	return &ring->cqes[(ring->cq_next + n) & ring->cq_mask];
}

/* Of `ready` CQEs, those that lie side by side from the oldest on: how many, the first through
 * *first. */
static inline uint32_t ring_cqes(const struct ring *ring, uint32_t ready,
				 const struct io_uring_cqe **first)
{
	uint32_t at = ring->cq_next & ring->cq_mask;
	uint32_t run = ring->cq_mask + 1 - at;

	*first = &ring->cqes[at];
	return ready < run ? ready : run;
}

/* Gives the oldest `n` CQEs back (release: pairs with the kernel's look for room). */
static inline void ring_advance(struct ring *ring, uint32_t n)
{
	ring->cq_next += n;
	/* model: ring-advance */
	__atomic_store_n(ring->cq_head, ring->cq_next, __ATOMIC_RELEASE);
}

/* Waits in the kernel until `n` CQEs are ready (submitting what is published, where an enter must).
 * 0, or -errno of the enter; returns early for no other reason. */
int ring_wait(struct ring *ring, uint32_t n);

/* Spins until `n` CQEs are ready, at most `ticks` of the clock; true when they are. On a polled
 * ring only. The loop is bracketed by marks and is the whole of this function, so that instruction
 * counts can leave it out. */
bool ring_spin(struct ring *ring, uint32_t n, uint64_t ticks);
/* The same for one CQE and RING_LOOKS looks, a few microseconds: it reads no clock. */
bool ring_glance(struct ring *ring);
#define RING_LOOKS 256u
#define RING_MARK_SPIN_BEGIN 0x20
#define RING_MARK_SPIN_END 0x21
/* A server says to who counts that from now on it listens. */
#define RING_MARK_READY 0x33

#endif
