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
 * Every answer is checked. Prints one number.
 */
#include "uring.h"

#define ENTRIES 256u
#define WARM_NS 30000000u

static uint64_t round_enter(struct uring *u, uint32_t batch)
{
	uring_nops(u, batch);
	uring_enter(u, batch, batch, IORING_ENTER_GETEVENTS);
	if (uring_take(u) != batch)
		die("answers are missing");
	return batch;
}

static uint64_t round_sqpoll(struct uring *u, uint32_t batch)
{
	uint32_t count;

	u->seen = __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE);
	if (ENTRIES - (u->tail - u->seen) >= batch && u->tail - u->head + batch <= ENTRIES) {
		uring_nops(u, batch);
		uring_wake(u);
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
	uring_open(&u, ENTRIES, flags, strstr(argv[1], "regfd") != NULL);
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
