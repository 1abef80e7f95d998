/*
 * preempt: coroutines by priority, and preemption of those that compute, for programs that ask
 * (async_preempt). Runs on every executor, for itself: its own ticks, its ring's notices, its
 * levels.
 *
 * Who runs next comes from the executor's levels (levels.h), always by the slow half of a switch.
 *
 *   notices on --tick, completion--> async_held? --yes--> late: off, on again when it lets go
 *                                         |no
 *                                         v
 *   take completions, timers; somebody more urgent, or a quantum over? -> behind its level, switch
 *
 * Who has run for a whole look without a switch computes. Completions interrupt nobody else: the
 * ring's word is armed only then, and the others find them at their next switch, for free.
 *
 * Who was interrupted stays on its executor until it goes on there: it may be anywhere in the
 * program's code, with an address in a register that belongs to this executor (async_here,
 * thread-local variables).
 *
 * The library never runs with notices on and `held` 0: whoever calls it holds itself (async.h), and
 * so does the interrupt's handler while it acts for the one that it interrupted. So nobody is
 * preempted while it has a lock of the crew's.
 */
#include "crew.h"
#include "levels.h"
#include "notice.h"

#define LOOK_NS_MIN 100000u
#define LOOK_NS_MAX 1000000u

struct async_co *async_urgent(void)
{
	struct async_exec *x = async_here();

	levels_sort(x);
	x->turns_left = 1; /* every switch comes here */
	async_word_disarm();
	return levels_pop(x);
}

/* ---- interrupts ---- */

static void preempt_tick(uint32_t id)
{
	struct async_exec *x = async_here();

	(void)id;
	x->levels->ticked = true;
	x->stats.ticks++;
}

static bool preempt_hold(void)
{
	async_here()->late = async_here()->self->held != 0;
	return async_here()->late;
}

static void tick_next(struct async_exec *x, uint64_t now)
{
	uint64_t at = now + x->levels->look;

	notice_timer(x->timers && x->timers->ticks < at ? x->timers->ticks : at);
}

/* Has the running one gone on without a switch since the last look? */
static bool preempt_computes(struct async_levels *l, uint64_t now)
{
	if (l->seen == l->picks)
		return true;
	if (l->ticked) {
		l->seen = l->picks;
		l->began = now - l->look; /* about: it began after the tick before */
	}
	return false;
}

/* Was the running one passed over until it went first once? Then it has an eighth of a look from
 * its first interrupt on, which may come before its first instruction. */
static bool preempt_spared(struct async_exec *x, uint64_t now)
{
	struct async_levels *l = x->levels;

	if (l->spared == LEVELS_AGED)
		l->spared = now + l->look / 8;
	if (now >= l->spared)
		return false;
	notice_timer(l->spared);
	return true;
}

/* Is there somebody whom the running one must make way for? */
static bool preempt_wanted(struct async_exec *x, bool computes, bool woken, uint64_t now)
{
	bool over = computes && now - x->levels->began >= x->levels->quantum;
	uint32_t there = levels_there(x), mine = 1u << x->self->priority;

	if (!there || preempt_spared(x, now))
		return false;
	return there & (mine - 1) || ((there & mine) && computes && woken) || over;
}

/* The running one goes behind its level, and comes back here. */
static void preempt_switch(struct async_exec *x)
{
	struct notice_frame frame;

	x->stats.preempts++;
	notice_frame_save(&frame);
	crew_pin();
	level_push(x, x->self);
	x->turns_left = 1;
	x->late = true; /* notices are off: who continues where it was held turns them on */
	async_suspend();
	notice_off(); /* who suspended may have had them on: no interrupt on top of our own frame */
	notice_frame_load(&frame);
	crew_unpin();
	/* it computed before, and goes on */
	x->levels->began = async_ticks_read();
	x->levels->seen = x->levels->picks;
}

/* Inside the interrupt, on the stack of the coroutine that it interrupted, which is not held. */
static void preempt_noticed(void)
{
	struct async_exec *x = async_here();
	struct async_levels *l = x->levels;
	bool computes, woken = false; /* somebody, while others ran */

	x->self->held++;
	do {
		uint64_t now = async_ticks_read();
		uint64_t before;
		uint32_t heard;

		x->stats.turns++;
		levels_sort(x);
		before = l->arrivals;
		l->noticing = true;
		async_reap();
		if (x->timers)
			async_timer_turn();
		if (x->crew)
			crew_hear(x);
		levels_sort(x);
		l->noticing = false;
		tick_next(x, now); /* for whoever runs next */
		computes = preempt_computes(l, now);
		l->ticked = false;
		heard = x->ring.cq_next;
		if (preempt_wanted(x, computes, woken || l->arrivals != before, now)) {
			preempt_switch(x);
			computes = true;
		} else if (x->crew) {
			crew_offer(x);
		}
		async_tell();
		woken = x->ring.cq_next != heard;
	} while (computes && (woken || async_word_arm()));
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
	async_here()->levels->ticked = false;
	tick_next(async_here(), async_ticks_read());
	notice_on();
}

/* ---- asking for it ---- */

/* One byte of each object that calls the library without holding itself (async.h). */
extern const char __start_async_unheld[] __attribute__((weak, visibility("hidden")));
extern const char __stop_async_unheld[] __attribute__((weak, visibility("hidden")));

static void preempt_begin(struct async_exec *x, struct async_levels *l, uint64_t quantum,
			  uint64_t look)
{
	levels_init(l);
	l->quantum = quantum;
	l->look = look;
	l->began = async_ticks_read();
	x->levels = l;
	x->turns_left = 1;
	tick_next(x, async_ticks_read());
	notice_on();
}

int async_preempt(uint64_t quantum_us)
{
	static struct async_levels levels;
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
		err = async_notices_start(&notice_first);
	if (err)
		return err;
	look = look < LOOK_NS_MIN ? LOOK_NS_MIN : look > LOOK_NS_MAX ? LOOK_NS_MAX : look;
	notice_hold = preempt_hold;
	notice_after = preempt_noticed;
	notice_handlers[0] = preempt_tick;
	preempt_begin(x, &levels, async_ns_to_ticks(quantum), async_ns_to_ticks(look));
	return 0;
}

int async_preempt_more(struct async_exec *x, const struct async_exec *first,
		       struct async_levels *more, struct notice_self *self)
{
	int err = async_notices_start(self);

	if (err)
		return err;
	x->waker = first->waker;
	x->waker_id = first->waker_id;
	preempt_begin(x, more, first->levels->quantum, first->levels->look);
	return 0;
}
