/*
 * race: what a test of racing posts shares between its programs: a caller and up to 16 receivers,
 * who tell each other by notices and keep books in memory that they share. Included once.
 *
 * A receiver has one post under way at a time: it answers by one of its own, and only then comes
 * the next. So nothing that comes later uncovers a notice that was lost. Who waits sets a timer far
 * ahead: if it rings, and the books say that the post was made long ago, that one is lost.
 */
#ifndef TESTS_ABI_RACE_H
#define TESTS_ABI_RACE_H

#include "libasync/notice.h"
#include "tests/abi/lib/say.h"

#define RACE_LANES 16u	/* as many doorbells as a program may have */
#define RACE_LATE_S 20u /* a wait that takes longer asks the books */

/* One direction of a lane: written by who posts. */
struct race_posts {
	_Alignas(64) uint64_t count; /* release: behind the store that posts */
	uint64_t at;		     /* clock, of the last */
};

enum race_way { RACE_COMPUTING, RACE_ASLEEP, RACE_WAYS };

/* A receiver and its caller, in shared memory. */
struct race_lane {
	struct race_posts told;	    /* by the caller */
	struct race_posts answered; /* by the receiver */
	_Alignas(64) uint64_t lost, wrong; /* the receiver's */
	uint64_t met[RACE_WAYS];    /* how its notices found it */
	uint32_t leave;		    /* the caller's: end now, in this manner; 0: stay */
};

struct race_book {
	struct race_lane lanes[RACE_LANES];
	uint32_t over; /* the caller's: something went wrong */
};
#define RACE_BOOK_BYTES ((sizeof(struct race_book) + 4095) / 4096 * 4096)

static uint64_t race_seed = 88172645463325252ull;

static inline uint32_t race_random(uint32_t n)
{
	race_seed ^= race_seed << 13;
	race_seed ^= race_seed >> 7;
	race_seed ^= race_seed << 17;
	return (uint32_t)(race_seed >> 33) % n;
}

static inline void race_pause(uint32_t n)
{
	for (volatile uint32_t i = 0; i < n; i++)
		;
}

static inline uint64_t race_at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static inline void race_post(struct ring *ring, const struct notice_sender *to,
			     struct race_posts *posts)
{
	notice_send(ring, to);
	__atomic_store_n(&posts->at, async_ticks_read(), __ATOMIC_RELAXED);
	__atomic_store_n(&posts->count, posts->count + 1, __ATOMIC_RELEASE);
}

/* Was post number `n` made half of RACE_LATE_S ago, or earlier? */
static inline bool race_is_late(const struct race_posts *posts, uint64_t n)
{
	return __atomic_load_n(&posts->count, __ATOMIC_ACQUIRE) >= n &&
	       async_ticks_read() - __atomic_load_n(&posts->at, __ATOMIC_RELAXED) >
		       RACE_LATE_S / 2 * ring_start_info->time_hz;
}

/* Keeps the timer ahead; it is set rarely. */
static inline void race_timer(void)
{
	static uint64_t due;
	uint64_t now = async_ticks_read(), hz = ring_start_info->time_hz;

	if (due < now + RACE_LATE_S * 3 / 4 * hz) {
		due = now + RACE_LATE_S * hz;
		notice_timer(due);
	}
}

/* Waits until *count, which a handler raises, is `n`: computing for `spin` looks with notices on,
 * then asleep; but it stays awake for what `posts` (or NULL) says was posted, which has to
 * interrupt it. How it was found. The timer may end the wait early: look again. */
static inline enum race_way race_await(struct ring *ring, const uint64_t *count, uint64_t n,
				       uint32_t spin, const struct race_posts *posts)
{
	const volatile uint64_t *now = count;

	race_timer();
	if (spin) {
		notice_on();
		for (uint32_t i = 0;
		     *now < n &&
		     (i < spin || (posts && __atomic_load_n(&posts->count, __ATOMIC_ACQUIRE) >= n));
		     i++)
			async_relax();
		notice_off();
	}
	if (*now >= n)
		return RACE_COMPUTING;
	notice_wait(ring);
	return RACE_ASLEEP;
}

#endif
