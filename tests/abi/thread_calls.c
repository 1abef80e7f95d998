/*
 * Do the threads of a program begin as they were asked to, share its memory, end one by one or all
 * together, and does whoever waits for their words hear of it? Is the process's end right whichever
 * thread brings it about: the first that ends early, one that faults, one that ends everybody while
 * others compute, wait or are half gone?
 *
 * also: first
 * ends: exit status 5
 * also: group
 * ends: exit status 6
 * also: fault
 * ends: killed by signal 11
 * also: storm
 * ends: exit status 7
 * also: race
 * ends: exit status 8
 */
#include "tests/abi/lib/say.h"
#include "uapi/time.h"

#define STACK_BYTES 16384u
#define MANY 63u

static struct ring_thread threads[MANY];
static char stacks[MANY][STACK_BYTES] __attribute__((aligned(16)));
static uint32_t word, sum;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* One entry on `ring`, from beginning to end; nothing else is in flight on it. */
static int64_t finish(struct ring *ring)
{
	int64_t res;

	ring_submit(ring);
	if (ring_wait(ring, 1))
		ring_die(ring, "the doorbell failed\n");
	res = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	return res;
}

static int64_t start(struct ring *ring, struct ring_thread *t)
{
	ring_fill_thread(ring_sqe(ring), t, 1);
	return finish(ring);
}

static int64_t start_fn(unsigned i, void (*fn)(struct ring_thread *t), void *arg)
{
	ring_thread_init(&threads[i], fn, arg, stacks[i], STACK_BYTES, 0x1000 * (i + 1),
			 SLUICE_ANY_CORE);
	return start(&ring_native, &threads[i]);
}

static int64_t wait_word(struct ring *ring, const uint32_t *w, uint32_t value)
{
	ring_fill_futex_wait(ring_sqe(ring), w, value, 2);
	return finish(ring);
}

static void join(struct ring *ring, struct ring_thread *t)
{
	uint32_t tid;

	while ((tid = __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE)) != 0)
		wait_word(ring, &t->tid, tid);
}

static uint64_t thread_pointer(void)
{
	uint64_t tp;

#ifdef __riscv
	__asm__("mv %0, tp" : "=r"(tp));
#else
	__asm__("rdgsbase %0" : "=r"(tp));
#endif
	return tp;
}

/* ---- one thread */

static int64_t seen_tid;
static uint64_t seen_tp;

static void looks(struct ring_thread *t)
{
	seen_tid = ring_syscall(&t->ring, SYS_gettid, 0, 0, 0, 0, 0, 0);
	seen_tp = thread_pointer();
	ring_fill(ring_sqe(&t->ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 3);
	if (finish(&t->ring) == 0)
		__atomic_store_n((uint32_t *)t->arg, 77, __ATOMIC_RELEASE);
}

/* Ends by an entry of its ring, which is answered. */
static void leaves(struct ring_thread *t)
{
	ring_fill_syscall(ring_sqe(&t->ring), SYS_exit, 3, 0, 0, 0, 0, 0, 4);
	ring_submit(&t->ring);
	for (;;)
		ring_wait(&t->ring, ring_ready(&t->ring) + 1);
}

static void ask_one(void)
{
	int64_t tid = start_fn(0, looks, &word);

	join(&ring_native, &threads[0]);
	say_is("a thread runs and is joined", word, 77);
	say_is("it has its number", seen_tid, tid);
	say_is("and its thread pointer", (int64_t)seen_tp, 0x1000);
	say_is("the first thread has the process's",
	       ring_syscall(&ring_native, SYS_gettid, 0, 0, 0, 0, 0, 0),
	       ring_syscall(&ring_native, SYS_getpid, 0, 0, 0, 0, 0, 0));
	start_fn(0, leaves, NULL);
	join(&ring_native, &threads[0]);
	/* its ring outlives it: what it said there is still to be read */
	say_is("an exit through the ring is answered", ring_ready(&threads[0].ring), 1);
	say_is("by 0", ring_cqe(&threads[0].ring)->res, 0);
}

/* ---- what is refused */

static int64_t start_wrong(size_t field, uint64_t value, bool wide)
{
	struct ring_thread *t = &threads[1];

	ring_thread_init(t, looks, &word, stacks[1], STACK_BYTES, 0, SLUICE_ANY_CORE);
	if (wide)
		*(uint64_t *)((char *)&t->ask + field) = value;
	else
		*(uint32_t *)((char *)&t->ask + field) = (uint32_t)value;
	return start(&ring_native, t);
}

#define ASK(field) offsetof(struct sluice_thread, field)

static void ask_refused(void)
{
	struct io_uring_sqe *sqe;

	say_is("another size", start_wrong(ASK(size), 60, false), -EINVAL);
	say_is("a flag", start_wrong(ASK(flags), 1, false), -EINVAL);
	say_is("reserved", start_wrong(ASK(reserved), 1, false), -EINVAL);
	say_is("no such core", start_wrong(ASK(core), 1000, false), -EINVAL);
	say_is("a core that runs no programs", start_wrong(ASK(core), 0, false), -EINVAL);
	say_is("a crooked word", start_wrong(ASK(tid), at(&word) + 1, true), -EINVAL);
	say_is("no word there", start_wrong(ASK(tid), 16, true), -EFAULT);
	say_is("no start block there", start_wrong(ASK(start), 16, true), -EFAULT);
	sqe = ring_sqe(&ring_native);
	ring_fill_thread(sqe, &threads[1], 1);
	sqe->len--;
	say_is("another length", finish(&ring_native), -EINVAL);
	sqe = ring_sqe(&ring_native);
	ring_fill_thread(sqe, &threads[1], 1);
	sqe->addr3 = 1;
	say_is("a field that must be 0", finish(&ring_native), -EINVAL);
	ring_fill(ring_sqe(&ring_native), IORING_OP_THREAD, 0, 0, 16, sizeof(struct sluice_thread),
		  0, 1);
	say_is("an ask that is not there", finish(&ring_native), -EFAULT);
}

/* ---- futexes */

static int64_t futex_odd(uint8_t opcode, int32_t flags, uint64_t value, uint64_t addr,
			 uint64_t mask)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, opcode, flags, value, addr, 0, 0, 5);
	sqe->addr3 = mask;
	return finish(&ring_native);
}

/* A waiter with `mask`, left in flight. */
static void futex_park(uint64_t mask, uint64_t user_data)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill_futex_wait(sqe, &word, word, user_data);
	sqe->addr3 = mask;
	ring_submit(&ring_native);
}

static int64_t futex_answer(uint64_t *who)
{
	int64_t res;

	ring_wait(&ring_native, 1);
	*who = ring_cqe(&ring_native)->user_data;
	res = ring_cqe(&ring_native)->res;
	ring_advance(&ring_native, 1);
	return res;
}

static void ask_futex(void)
{
	uint64_t who = 0;
	int64_t res;

	word = 5;
	say_is("another value", wait_word(&ring_native, &word, 6), -EAGAIN);
	say_is("a size that is not 32 bits",
	       futex_odd(IORING_OP_FUTEX_WAIT, 0x80, 5, at(&word), ~0u), -EINVAL);
	say_is("a word that is shared", futex_odd(IORING_OP_FUTEX_WAIT, 2, 5, at(&word), ~0u),
	       -EINVAL);
	say_is("a value of more bits",
	       futex_odd(IORING_OP_FUTEX_WAIT, 0x82, 1ull << 32 | 5, at(&word), ~0u), -EINVAL);
	say_is("no mask", futex_odd(IORING_OP_FUTEX_WAIT, 0x82, 5, at(&word), 0), -EINVAL);
	say_is("a mask of more bits",
	       futex_odd(IORING_OP_FUTEX_WAKE, 0x82, 5, at(&word), 1ull << 32), -EINVAL);
	say_is("a crooked address", futex_odd(IORING_OP_FUTEX_WAIT, 0x82, 5, at(&word) + 2, ~0u),
	       -EINVAL);
	say_is("no memory there", futex_odd(IORING_OP_FUTEX_WAIT, 0x82, 5, 16, ~0u), -EFAULT);
	say_is("several at once are not served",
	       futex_odd(IORING_OP_FUTEX_WAITV, 0, 0, at(&word), 0), -EINVAL);
	say_is("nobody waits", futex_odd(IORING_OP_FUTEX_WAKE, 0x82, 9, at(&word), ~0u), 0);

	futex_park(1, 11);
	futex_park(2, 12);
	futex_park(3, 13);
	futex_park(4, 14);
	ring_fill_futex_wake(ring_sqe(&ring_native), &word + 1, 9, 99);
	ring_submit(&ring_native);
	res = futex_answer(&who);
	say_true("another word wakes nobody", res == 0 && who == 99);
	ring_fill_futex_wake(ring_sqe(&ring_native), &word, 0, 99);
	ring_submit(&ring_native);
	say_is("none wakes none", futex_answer(&who), 0);
	/* one of those with bit 1: the older */
	{
		struct io_uring_sqe *sqe = ring_sqe(&ring_native);

		ring_fill_futex_wake(sqe, &word, 1, 99);
		sqe->addr3 = 2;
		sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
		ring_submit(&ring_native);
	}
	res = futex_answer(&who);
	say_true("the oldest that the mask meets", res == 0 && who == 12);
	ring_fill(ring_sqe(&ring_native), IORING_OP_ASYNC_CANCEL, -1, 0, 13, 0, 0, 99);
	ring_submit(&ring_native);
	for (unsigned i = 0, good = 0; i < 2; i++) {
		res = futex_answer(&who);
		good += who == 13 ? res == -ECANCELED : res == 0;
		if (i)
			say_is("one is cancelled", good, 2);
	}
	ring_fill_futex_wake(ring_sqe(&ring_native), &word, 9, 99);
	ring_submit(&ring_native);
	for (unsigned i = 0, good = 0; i < 3; i++) {
		res = futex_answer(&who);
		good += who == 99 ? res == 2 : res == 0 && (who == 11 || who == 14);
		if (i == 2)
			say_is("two are left and wake", good, 3);
	}
}

/* ---- many */

static void adds(struct ring_thread *t)
{
	for (unsigned i = 0; i < 10; i++) {
		ring_fill(ring_sqe(&t->ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 1);
		finish(&t->ring);
		__atomic_fetch_add(&sum, 1, __ATOMIC_RELAXED);
	}
	while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
		wait_word(&t->ring, &word, 0);
}

static void close_ring(struct ring_thread *t)
{
	ring_syscall(&ring_native, SYS_close, (uint64_t)t->start.ring_fd, 0, 0, 0, 0, 0);
	ring_syscall(&ring_native, SYS_munmap, t->start.sq_ring, 20480, 0, 0, 0, 0);
	ring_syscall(&ring_native, SYS_munmap, t->start.sqes, 32768, 0, 0, 0, 0);
}

static void ask_many(void)
{
	for (unsigned round = 0; round < 2; round++) {
		unsigned good = 0;

		word = sum = 0;
		for (unsigned i = 0; i < MANY; i++)
			good += start_fn(i, adds, NULL) > 0;
		say_is("63 threads beside the first", good, MANY);
		{
			static struct ring_thread one;

			ring_thread_init(&one, adds, NULL, stacks[0], STACK_BYTES, 0,
					 SLUICE_ANY_CORE);
			say_is("and no more", start(&ring_native, &one), -EAGAIN);
		}
		__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
		ring_fill_futex_wake(ring_sqe(&ring_native), &word, ~0u, 1);
		finish(&ring_native);
		for (unsigned i = 0; i < MANY; i++)
			join(&ring_native, &threads[i]);
		say_is("all have done their part", sum, MANY * 10);
		for (unsigned i = 0; i < MANY; i++)
			close_ring(&threads[i]);
	}
}

/* ---- ends of the process */

static void ends_last(struct ring_thread *t)
{
	static struct __kernel_timespec while_ = { 0, 30000000 };

	ring_fill(ring_sqe(&t->ring), IORING_OP_TIMEOUT, -1, 0, at(&while_), 1, 0, 1);
	finish(&t->ring);
	ring_thread_exit(&t->ring, 9);
}

static void ends_all(struct ring_thread *t)
{
	ring_exit(&t->ring, (int)(intptr_t)t->arg);
}

static void faults(struct ring_thread *t)
{
	*(volatile int *)t->arg = 1;
}

static void computes(struct ring_thread *t)
{
	(void)t;
	for (;;)
		__atomic_fetch_add(&sum, 1, __ATOMIC_RELAXED);
}

static void sleeps(struct ring_thread *t)
{
	static struct __kernel_timespec hour = { 3600, 0 };

	ring_fill(ring_sqe(&t->ring), IORING_OP_TIMEOUT, -1, 0, at(&hour), 1, 0, 1);
	finish(&t->ring);
}

static void nothing(struct ring_thread *t)
{
	(void)t;
}

/* Threads in every state there is, then the end. */
static _Noreturn void storm(void)
{
	static void (*const kinds[])(struct ring_thread *) = { computes, sleeps, adds, nothing,
							       leaves };

	word = 0;
	for (unsigned i = 0; i < 40; i++)
		start_fn(i, kinds[i % 5], NULL);
	ring_exit(&ring_native, 7);
}

/* The end of all comes from one thread while another one starts and ends threads. */
static void ends_soon(struct ring_thread *t)
{
	while (__atomic_load_n(&sum, __ATOMIC_RELAXED) < 20)
		async_relax();
	ring_exit(&t->ring, 8);
}

static _Noreturn void race(void)
{
	start_fn(0, ends_soon, NULL);
	for (;;)
		for (unsigned i = 1; i < 8; i++) {
			if (start_fn(i, nothing, NULL) > 0)
				join(&ring_native, &threads[i]);
			close_ring(&threads[i]);
			__atomic_fetch_add(&sum, 1, __ATOMIC_RELAXED);
		}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	switch (argc > 1 ? argv[1][0] : 0) {
	case 'f':
		if (argv[1][1] == 'i') {
			start_fn(0, ends_last, NULL);
			ring_thread_exit(ring, 5);
		}
		start_fn(0, faults, (void *)16);
		join(ring, &threads[1]);
		for (;;)
			wait_word(ring, &word, word);
	case 'g':
		start_fn(0, ends_all, (void *)6);
		for (;;)
			wait_word(ring, &word, word);
	case 's':
		storm();
	case 'r':
		race();
	}
	ask_one();
	ask_refused();
	ask_futex();
	ask_many();
	return say_verdict();
}
