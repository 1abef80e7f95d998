/*
 * b_notify HOW CORES_ON ROUNDS: what does it cost to tell another thread, and to be told back? The
 * other one runs as many cores further. bench/peer/guest/notify.c asks the same of Linux.
 *
 *	word	busy polling: both look at a word of memory all the time; on two cores only
 *	ring	busy polling of the completion queue, for a read of a pipe; on two cores only
 *	park	the same read, waited for in the kernel
 *	futex	a word each way, FUTEX_WAIT and FUTEX_WAKE
 *
 * One line, how=HOW hops=... ns=..., and marks for the counting plugin around the round trips.
 */
#include "libasync/async.h"

#include <string.h>

#include "lib/guest.h"

#define WARM	    100u
#define STACK_BYTES 16384u

/* Side 0 is main's, side 1 the other thread's. */
struct way {
	const char *name;
	void (*tell)(struct ring *r, unsigned side);
	void (*await)(struct ring *r, unsigned side);
};

static struct {
	uint32_t word __attribute__((aligned(64)));
} sides[2];
static int ends[2][2];
static const struct way *way;
static bool spins; /* for its completions */
static uint64_t rounds;
static struct ring_thread thread;
static char stack[STACK_BYTES] __attribute__((aligned(16)));

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void must(bool good, const char *what)
{
	if (!good)
		ring_die(&ring_native, what);
}

/* The entry last filled, from beginning to end; nothing else is in flight on this ring. */
static int32_t finish(struct ring *r)
{
	int32_t res;

	must(!ring_submit(r), "b_notify: the doorbell failed\n");
	if (spins)
		while (!ring_spin(r, 1, UINT64_MAX))
			;
	must(!ring_wait(r, 1), "b_notify: the wait failed\n");
	res = ring_cqe(r)->res;
	ring_advance(r, 1);
	return res;
}

static void word_tell(struct ring *r, unsigned side)
{
	(void)r;
	__atomic_store_n(&sides[side].word, 1, __ATOMIC_RELEASE); /* pairs with word_await */
}

static void word_await(struct ring *r, unsigned side)
{
	(void)r;
	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	while (!__atomic_load_n(&sides[side].word, __ATOMIC_ACQUIRE)) /* pairs with word_tell */
		async_relax();
	ASYNC_MARK(RING_MARK_SPIN_END);
	sides[side].word = 0;
}

static void pipe_tell(struct ring *r, unsigned side)
{
	ring_fill(ring_sqe(r), IORING_OP_WRITE, ends[side][1], ~0ull, at(""), 1, 0, 0);
	must(finish(r) == 1, "b_notify: the pipe cannot be written\n");
}

static void pipe_await(struct ring *r, unsigned side)
{
	char byte;

	ring_fill(ring_sqe(r), IORING_OP_READ, ends[side][0], ~0ull, at(&byte), 1, 0, 0);
	must(finish(r) == 1, "b_notify: the pipe cannot be read\n");
}

static void futex_tell(struct ring *r, unsigned side)
{
	__atomic_store_n(&sides[side].word, 1, __ATOMIC_RELEASE); /* pairs with futex_await */
	ring_fill_futex_wake(ring_sqe(r), &sides[side].word, 1, 1);
	must(finish(r) >= 0, "b_notify: FUTEX_WAKE failed\n");
}

static void futex_await(struct ring *r, unsigned side)
{
	while (!__atomic_load_n(&sides[side].word, __ATOMIC_ACQUIRE)) { /* pairs with futex_tell */
		ring_fill_futex_wait(ring_sqe(r), &sides[side].word, 0, 1);
		finish(r);
	}
	sides[side].word = 0;
}

static const struct way ways[] = {
	{ "word", word_tell, word_await },
	{ "ring", pipe_tell, pipe_await },
	{ "park", pipe_tell, pipe_await },
	{ "futex", futex_tell, futex_await },
};

static void other(struct ring_thread *t)
{
	for (uint64_t i = 0; i < WARM + rounds; i++) {
		way->await(&t->ring, 1);
		way->tell(&t->ring, 0);
	}
}

static void round_trips(struct ring *r, uint64_t count)
{
	while (count--) {
		way->tell(r, 1);
		way->await(r, 0);
	}
}

static void start(struct ring *r, uint64_t cores_on)
{
	for (unsigned i = 0; i < 2; i++)
		must(!ring_syscall(r, SYS_pipe2, at(ends[i]), 0, 0, 0, 0, 0),
		     "b_notify: no pipe\n");
	ring_thread_init(&thread, other, NULL, stack, STACK_BYTES, 0,
			 ring_start_info->core + (uint32_t)cores_on);
	ring_fill_thread(ring_sqe(r), &thread, 1);
	must(finish(r) > 0, "b_notify: no thread\n");
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t from, ns;

	must(argc == 4, "usage: b_notify word|ring|park|futex CORES_ON ROUNDS\n");
	for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name))
			way = &ways[i];
	must(way, "b_notify: unknown way\n");
	spins = !strcmp(way->name, "ring");
	rounds = guest_number(ring, argv[3]);
	start(ring, guest_number(ring, argv[2]));
	round_trips(ring, WARM);
	from = guest_ns();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	round_trips(ring, rounds);
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	guest_say(ring, "bench: how=%s hops=%llu ns=%llu\n", way->name,
		  (unsigned long long)(2 * rounds), (unsigned long long)ns);
	return 0;
}
