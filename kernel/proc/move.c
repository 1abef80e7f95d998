/*
 * move: threads between user cores, as those ask for it who know about processes. The mechanism is
 * in sched/thread.c, the protocol in docs/moves.md.
 *
 * For experiments and tests: `shuffle_us=N` moves every thread to the next user core it may be on
 * each N microseconds. Each user core looks twice in that time, and sends away what has been here
 * for most of it. A thread that would run has run in two turns by then: where a turn takes longer
 * than N, its first run may have ended before its first instruction.
 */
#include "base/cmdline.h"
#include "base/print.h"
#include "cores/balance.h"
#include "mm/frames.h"
#include "proc/internal.h"
#include "sched/timer.h"
#include "uapi/errno.h"

#define SHUFFLE_US_MAX 10000000u

struct shuffle {
	struct timer timer;
	struct mail mail; /* from the boot core */
};

/* set once at boot */
static nsec_t shuffle_ns;

int thread_move(struct user_thread *t, unsigned to)
{
	return thread_send(&t->thread, to);
}

/* ---- for the balancer (cores/balance.h) ------------------------------------------------------ */

static struct user_thread *user_of(struct thread *t)
{
	return container_of(t, struct user_thread, thread);
}

/* Those that would run first. */
static unsigned threads_list(struct core *c, struct balance_unit *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned parked = 0; c->users && parked < 2; parked++)
		for (struct thread *t = placement_next(c, NULL); t && n < max;
		     t = placement_next(c, t)) {
			bool waits = t->state == THREAD_READY;

			if (parked != (t->state == THREAD_PARKED))
				continue;
			out[n++] = (struct balance_unit){
				.id = user_of(t)->tid,
				.load = !parked,
				.age_ns = waits ? 1 + balance_age(t->ready_since, c->now) : 0,
			};
		}
	return n;
}

static int threads_move(struct core *c, uint64_t id, unsigned to)
{
	for (struct thread *t = placement_next(c, NULL); t; t = placement_next(c, t))
		if (user_of(t)->tid == id)
			return thread_move(user_of(t), to);
	return -ENOENT;
}

static const struct balance_mover threads_mover = { "threads", threads_list, threads_move };

/* ---- shuffle --------------------------------------------------------------------------------- */

static void shuffle_run(struct timer *timer)
{
	struct core *c = this_core();
	struct thread *t = placement_next(c, NULL), *next;

	for (; t; t = next) {
		bool tired = t->state == THREAD_PARKED || (t->seen && t->seen != t->slice_end);

		next = placement_next(c, t);
		if (!t->seen)
			t->seen = t->slice_end;
		if (tired && c->now - t->since >= shuffle_ns / 4 * 3)
			(void)!thread_send(t, thread_next_core(t, c->index)); /* or it is busy */
	}
	timer_arm(timer, arch_time_ns() + shuffle_ns / 2);
}

static void shuffle_begin(struct mail *m)
{
	shuffle_run(&container_of(m, struct shuffle, mail)->timer);
}

void moves_init(void)
{
	uint64_t us = cmdline_find_u64("shuffle_us", 0);

	balance_mover_set(BALANCE_THREAD, &threads_mover);
	if (us > SHUFFLE_US_MAX) {
		kprint("boot argument shuffle_us=%llu: %u is the most\n", (unsigned long long)us,
		       SHUFFLE_US_MAX);
		return;
	}
	shuffle_ns = us * 1000;
	for (unsigned i = 0; us && i < CORES_MAX; i++) {
		struct shuffle *s;

		if (!cores[i] || !(cores[i]->roles & ROLE_USER))
			continue;
		s = frames_boot_alloc(sizeof(*s));
		timer_init(&s->timer, shuffle_run);
		s->mail.deliver = shuffle_begin;
		mailbox_post(i, &s->mail);
	}
}
