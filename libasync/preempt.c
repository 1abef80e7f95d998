/*
 * preempt: coroutines by priority, and preemption of those that compute, for programs that ask
 * (async_preempt). Runs on the first thread.
 *
 * Run queue: eight levels, first come first served within each; async_pick takes all from here. A
 * level that was passed over ASYNC_AGE_MAX times is served once.
 *
 *   notices on --tick, completion--> async_held? --yes--> late: off, on again when it lets go
 *                                         |no
 *                                         v
 *   take completions, timers; somebody more urgent, or a quantum over? -> behind its level, switch
 *
 * Who has run for a whole look without a switch computes. Completions interrupt nobody else: the
 * ring's word is armed only then, and the others find them at their next switch, for free.
 *
 * The library never runs with notices on and `held` 0: whoever calls it holds itself (async.h), and
 * so does the interrupt's handler while it acts for the one that it interrupted.
 */
#include "crew.h"
#include "internal.h"
#include "notice.h"

#define LEVELS SLUICE_PRIORITIES
#define LOOK_NS_MIN 100000u
#define LOOK_NS_MAX 1000000u

struct async_levels {
	struct async_co *head[LEVELS], **tail[LEVELS];
	uint32_t passed[LEVELS]; /* how often another one went first */
	uint32_t there; /* bit per level that has somebody */
	uint64_t picks;
	/* ticks */
	uint64_t quantum, look;
	/* of the last tick */
	uint64_t seen; /* picks */
	uint64_t began; /* when the one that computes now got its quantum */
	bool ticked;
};

static struct async_levels levels;

/* ---- the queue ---- */

static void level_push(struct async_co *co)
{
	co->next = NULL;
	*levels.tail[co->priority] = co;
	levels.tail[co->priority] = &co->next;
	levels.there |= 1u << co->priority;
	async_here()->queued++;
}

/* All who came since, in order of arrival. */
static void levels_sort(struct async_exec *x)
{
	while (x->run_head) {
		struct async_co *co = x->run_head;

		x->run_head = co->next;
		level_push(co);
	}
	x->run_tail = &x->run_head;
}

/* The most urgent level that has somebody; there is one. */
static inline unsigned level_first(void)
{
	unsigned i = 0;

	for (uint32_t there = levels.there; !(there & 1); there >>= 1)
		i++;
	return i;
}

/* The level whose turn it is: the most urgent, unless one below waited too often for it. */
static unsigned level_choose(void)
{
	unsigned first = level_first(), chosen = first;

	if (ring_likely(levels.there == 1u << first)) /* nobody is passed over */
		return first;
	for (unsigned i = first + 1; i < LEVELS; i++)
		if ((levels.there >> i & 1) && ++levels.passed[i] > ASYNC_AGE_MAX &&
		    chosen == first)
			chosen = i;
	levels.passed[chosen] = 0;
	return chosen;
}

struct async_co *async_urgent(void)
{
	struct async_exec *x = async_here();
	struct async_co *co;
	unsigned level;

	levels_sort(x);
	level = level_choose();
	co = levels.head[level];
	levels.head[level] = co->next;
	if (!co->next) {
		levels.tail[level] = &levels.head[level];
		levels.there &= ~(1u << level);
		levels.passed[level] = 0;
	}
	x->queued--;
	x->turns_left = 1; /* every switch comes here */
	levels.picks++;
	async_word_disarm();
	return co;
}

/* ---- interrupts ---- */

static void preempt_tick(uint32_t id)
{
	(void)id;
	levels.ticked = true;
}

static bool preempt_hold(void)
{
	async_here()->late = async_here()->self->held != 0;
	return async_here()->late;
}

static void tick_next(struct async_exec *x, uint64_t now)
{
	uint64_t at = now + levels.look;

	notice_timer(x->timers && x->timers->ticks < at ? x->timers->ticks : at);
}

/* Has the running one gone on without a switch since the last look? */
static bool preempt_computes(uint64_t now)
{
	if (levels.seen == levels.picks)
		return true;
	if (levels.ticked) {
		levels.seen = levels.picks;
		levels.began = now - levels.look; /* about: it began after the tick before */
	}
	return false;
}

/* Is there somebody whom the running one must make way for? */
static bool preempt_wanted(struct async_exec *x, bool computes, bool woken, uint64_t now)
{
	bool over = computes && now - levels.began >= levels.quantum;
	unsigned first, mine = x->self->priority;

	if (!levels.there)
		return false;
	first = level_first();
	return first < mine || (first == mine && computes && woken) || over;
}

/* The running one goes behind its level, and comes back here. */
static void preempt_switch(struct async_exec *x)
{
	struct notice_frame frame;

	x->stats.preempts++;
	notice_frame_save(&frame);
	level_push(x->self);
	x->turns_left = 1;
	x->late = true; /* notices are off: who continues where it was held turns them on */
	async_suspend();
	notice_off(); /* who suspended may have had them on: no interrupt on top of our own frame */
	notice_frame_load(&frame);
	/* it computed before, and goes on */
	levels.began = async_ticks_read();
	levels.seen = levels.picks;
}

/* Inside the interrupt, on the stack of the coroutine that it interrupted, which is not held. */
static void preempt_noticed(void)
{
	struct async_exec *x = async_here();
	bool computes;

	x->self->held++;
	do {
		uint64_t now = async_ticks_read();
		uint32_t before;

		x->stats.turns++;
		levels_sort(x);
		before = x->queued;
		async_reap();
		if (x->timers)
			async_timer_turn();
		levels_sort(x);
		tick_next(x, now); /* for whoever runs next */
		computes = preempt_computes(now);
		levels.ticked = false;
		if (preempt_wanted(x, computes, x->queued != before, now)) {
			preempt_switch(x);
			computes = true;
		}
		async_tell();
	} while (computes && async_word_arm());
	x->self->held--;
}

void async_preempt_late(void)
{
	async_here()->late = false;
	notice_on(); /* what is pending comes here and now */
}

void async_preempt_rest(bool rests)
{
	if (rests) {
		notice_off();
		return;
	}
	async_here()->late = false;
	levels.ticked = false;
	tick_next(async_here(), async_ticks_read());
	notice_on();
}

/* ---- asking for it ---- */

/* One byte of each object that calls the library without holding itself (async.h). */
extern const char __start_async_unheld[] __attribute__((weak, visibility("hidden")));
extern const char __stop_async_unheld[] __attribute__((weak, visibility("hidden")));

int async_preempt(uint64_t quantum_us)
{
	struct async_exec *x = async_here();
	uint64_t quantum = quantum_us * 1000, look = quantum / 4;
	int err = 0;

	if (ASYNC_ON_LINUX || !ring_start_info->time_hz)
		return -EOPNOTSUPP;
	if (!quantum_us || quantum_us > ASYNC_S ||
	    &__start_async_unheld[0] != &__stop_async_unheld[0])
		return -EINVAL;
	if (x->levels || async_crew.count > 1)
		return -EBUSY;
	if (!x->notices)
		err = async_notices_start();
	if (err)
		return err;
	look = look < LOOK_NS_MIN ? LOOK_NS_MIN : look > LOOK_NS_MAX ? LOOK_NS_MAX : look;
	levels.quantum = async_ns_to_ticks(quantum);
	levels.look = async_ns_to_ticks(look);
	for (unsigned i = 0; i < LEVELS; i++)
		levels.tail[i] = &levels.head[i];
	levels.began = async_ticks_read();
	x->levels = &levels;
	x->turns_left = 1;
	notice_hold = preempt_hold;
	notice_after = preempt_noticed;
	notice_handlers[0] = preempt_tick;
	tick_next(x, async_ticks_read());
	notice_on();
	return 0;
}
