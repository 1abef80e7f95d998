/*
 * b_nop HOW AMOUNT DEPTH...: what does an operation cost that does nothing? Each DEPTH is measured,
 * one after the other.
 *
 *	enter	DEPTH entries are filled, submitted with one enter and awaited by it; AMOUNT
 *		operations in all
 *	polled	the same (or for AMOUNT milliseconds, as "300ms") on a ring that a kernel core polls:
 *		DEPTH entries are shown at once, and the answers are spun for
 *	pipe	a polled ring is kept full: DEPTH entries per store of the tail, at most 256 under way,
 *		AMOUNT milliseconds
 *
 * Everything a program does for an operation is counted: all 64 bytes are filled, every answer is
 * looked at, and the sum of their names is that of the questions' names in the end. The kernel
 * takes the path of any other operation.
 */
#include "lib/guest.h"

#define PIPE_MAX     256u
#define WARM_ROUNDS  200u
#define CHUNK	     16u
#define PIPE_WARM_MS 100u

static uint64_t asked;	  /* questions so far: the next one's user_data */
static uint64_t answered; /* sum of the answers' user_data */

static void nop_fill(struct ring *ring, uint32_t count)
{
	uint64_t name = asked;

	asked += count;
	while (count) {
		struct io_uring_sqe *sqe;
		uint32_t n = ring_sqes(ring, count, &sqe);
		struct io_uring_sqe *end = sqe + n;

		for (; sqe != end; sqe++)
			ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, name++);
		count -= n;
	}
	ring_publish(ring);
}

static void nop_take(struct ring *ring, uint32_t count)
{
	uint64_t sum = 0;
	int32_t wrong = 0;

	while (count) {
		const struct io_uring_cqe *cqe;
		uint32_t n = ring_cqes(ring, count, &cqe);
		const struct io_uring_cqe *end = cqe + n;

		for (; cqe != end; cqe++) {
			wrong |= cqe->res;
			sum += cqe->user_data;
		}
		ring_advance(ring, n);
		count -= n;
	}
	if (wrong)
		ring_die(ring, "b_nop: a NOP failed\n");
	answered += sum;
}

static void round_enter(struct ring *ring, uint32_t depth)
{
	nop_fill(ring, depth);
	if (ring_enter(ring, depth, depth, IORING_ENTER_GETEVENTS, NULL, 0) != depth)
		ring_die(ring, "b_nop: enter failed\n");
	if (ring_ready(ring) != depth)
		ring_die(ring, "b_nop: answers are missing\n");
	nop_take(ring, depth);
}

static void rounds_enter(struct ring *ring, uint32_t depth, uint64_t rounds)
{
	while (rounds--)
		round_enter(ring, depth);
}

/* Depth 1 is a program that has one thing to do: it does not go about it as if it had many. */
static void rounds_one(struct ring *ring, uint32_t depth, uint64_t rounds)
{
	uint64_t name = asked, sum = 0;

	for (; rounds; rounds--) {
		const struct io_uring_cqe *cqe;

		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, name++);
		ring_publish(ring);
		if (ring_enter(ring, depth, depth, IORING_ENTER_GETEVENTS, NULL, 0) != depth ||
		    !ring_ready(ring))
			ring_die(ring, "b_nop: enter failed\n");
		cqe = ring_cqe(ring);
		if (cqe->res)
			ring_die(ring, "b_nop: a NOP failed\n");
		sum += cqe->user_data;
		ring_advance(ring, 1);
	}
	asked = name;
	answered += sum;
}

static void round_polled(struct ring *ring, uint32_t depth)
{
	nop_fill(ring, depth);
	if (ring_signal(ring))
		ring_die(ring, "b_nop: the doorbell failed\n");
	while (!ring_spin(ring, depth, UINT64_MAX))
		;
	ring_ready(ring); /* acquires what the spin saw */
	nop_take(ring, depth);
}

static void rounds_polled(struct ring *ring, uint32_t depth, uint64_t rounds)
{
	while (rounds--)
		round_polled(ring, depth);
}

static void nop_count(struct ring *ring, void (*go)(struct ring *, uint32_t, uint64_t),
		      const char *how, uint32_t depth, const struct guest_amount *amount)
{
	uint64_t rounds = amount->ops ? amount->ops / depth : CHUNK, done = 0, from, to, ns;

	go(ring, depth, WARM_ROUNDS);
	ns = guest_ns();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	from = guest_instructions();
	do {
		go(ring, depth, rounds);
		done += rounds * depth;
	} while (!amount->ops && guest_ns() - ns < amount->ns);
	to = guest_instructions();
	ASYNC_MARK(GUEST_MARK_END);
	guest_say(ring, "bench: nop=%s depth=%u ops=%llu instructions=%llu ns=%llu\n", how, depth,
		  (unsigned long long)done, (unsigned long long)(to - from),
		  (unsigned long long)(guest_ns() - ns));
}

/* One turn of the pipe: more questions when there is room, answers when there are any. */
static inline uint32_t pipe_turn(struct ring *ring, uint32_t depth)
{
	uint32_t ready;

	if (ring->sq_next - ring->cq_next + depth <= PIPE_MAX && ring_space(ring) >= depth) {
		nop_fill(ring, depth);
		if (ring_signal(ring))
			ring_die(ring, "b_nop: the doorbell failed\n");
	}
	ready = ring_ready(ring);
	if (ready)
		nop_take(ring, ready);
	else
		async_relax();
	return ready;
}

static void nop_pipe(struct ring *ring, uint32_t depth, uint64_t ms)
{
	uint64_t tick = ring_start_info->time_hz / 1000, begin, end, now, ops = 0;

	begin = async_ticks_read() + PIPE_WARM_MS * tick;
	end = begin + ms * tick;
	do {
		uint32_t some = 0;

		for (unsigned i = 0; i < 32; i++)
			some += pipe_turn(ring, depth);
		now = async_ticks_read();
		ops = now < begin ? 0 : ops + some;
	} while (now < end);
	end = now;
	while (ring->sq_next != ring->cq_next)
		nop_take(ring, ring_ready(ring));
	guest_say(ring, "bench: nop=pipe depth=%u ops=%llu us=%llu\n", depth,
		  (unsigned long long)ops, (unsigned long long)((end - begin) * 1000 / tick));
}

static bool is(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void nop_measure(struct ring *ring, const char *how, const struct guest_amount *amount,
			uint32_t depth)
{
	bool polled = ring_is_polled(ring);

	if (depth < 1 || depth > ring->sq_entries)
		ring_die(ring, "b_nop: a depth does not fit the ring\n");
	if (is(how, "enter") && !polled)
		nop_count(ring, depth == 1 ? rounds_one : rounds_enter, how, depth, amount);
	else if (is(how, "polled") && polled)
		nop_count(ring, rounds_polled, how, depth, amount);
	else if (is(how, "pipe") && polled && ring_start_info->time_hz >= 1000)
		nop_pipe(ring, depth, amount->ops);
	else
		ring_die(ring, "b_nop: this core map gives the ring no such way\n");
	/* every question has its own number, from 0 on */
	if (answered != asked * (asked - 1) / 2)
		ring_die(ring, "b_nop: the answers are not those of the questions\n");
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct guest_amount amount;

	if (argc < 4)
		ring_die(ring, "usage: b_nop enter|polled|pipe AMOUNT DEPTH...\n");
	amount = guest_amount(ring, argv[2]);
	for (int i = 3; i < argc; i++)
		nop_measure(ring, argv[1], &amount, (uint32_t)guest_number(ring, argv[i]));
	return 0;
}
