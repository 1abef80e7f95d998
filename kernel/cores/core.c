/*
 * core: the turn, the sleep, the start. See core.h for the order of a turn and the rules of
 * ownership.
 *
 *   core_turn returned > 0 --> core_turn again
 *   core_turn returned 0   --> spin while the budget lasts (uapi/spin.h)
 *                          --> core_sleep: announce, arm, re-check, wait, disarm
 */
#include "cores/core.h"

#include "base/panic.h"
#include "base/print.h"
#include "base/trace.h"
#include "cores/balance.h"
#include "mm/frames.h"

#define STATUS_HART 103

struct core *cores[CORES_MAX];
unsigned cores_count;

void core_part_set(struct core *c, enum core_part slot, const struct core_part_ops *ops)
{
	kassert(!c->part[slot] || c->part[slot] == ops);
	c->part[slot] = ops;
}

struct core *core_with_role(uint32_t role)
{
	for (unsigned i = 0; i < CORES_MAX; i++)
		if (cores[i] && core_has_role(cores[i], role) &&
		    !core_has_role(cores[i], ROLE_ELASTIC))
			return cores[i];
	return NULL;
}

/* What the trace says of a core between two turns. */
static void core_sample(struct core *c)
{
	nsec_t busy = c->now - c->started - c->count->spin_ns - c->count->sleep_ns -
		      c->count->doze_ns;
	uint64_t frames = frames_free_count();

	trace_event(TRACE_COUNT, COUNT_BUSY, busy - c->sample_busy, c->now);
	if (frames != c->sample_frames)
		trace_event(TRACE_COUNT, COUNT_FRAMES, frames, 0);
	c->sample_time = c->now;
	c->sample_busy = busy;
	c->sample_frames = frames;
}

unsigned core_turn(struct core *c)
{
	unsigned done = 0;

	ARCH_MARK(MARK_POLL_BEGIN);
	c->now = arch_time_ns();
	c->turn++;
	for (unsigned i = 0; i < PART_USER; i++)
		if (c->part[i])
			done += c->part[i]->run(c);
	/* before a program may keep the core */
	if (unlikely(c->now >= c->look_at))
		balance_look(c);
	if (c->part[PART_USER])
		done += c->part[PART_USER]->run(c);
	if (done) {
		c->count->turns_busy++;
		c->busy_until = c->now;
		if (unlikely(trace_detail) && c->now - c->sample_time >= COUNT_EVERY_NS)
			core_sample(c);
	} else {
		c->count->turns_idle++;
		ARCH_MARK(MARK_POLL_IDLE);
	}
	return done;
}

bool core_announce(struct core *c, unsigned but)
{
	bool work = false;

	/* model: sleep-announce */
	atomic_store_explicit(&c->away, 1, memory_order_relaxed);
	for (unsigned i = 0; i < CORE_PARTS; i++)
		if (i != but && c->part[i] && c->part[i]->arm && c->part[i]->arm(c))
			work = true;
	/* Our `away`, then the mailbox; mailbox_post stores the mail, then loads `away`. */
	/* model: sleep-fence */
	atomic_thread_fence(memory_order_seq_cst);
	return work || !mailbox_is_empty(c);
}

void core_return(struct core *c)
{
	/* model: sleep-awake */
	atomic_store_explicit(&c->away, 0, memory_order_relaxed);
	for (unsigned i = 0; i < CORE_PARTS; i++)
		if (c->part[i] && c->part[i]->disarm)
			c->part[i]->disarm(c);
}

void core_sleep(struct core *c)
{
	nsec_t deadline = NSEC_NEVER;

	c->signals.asleep_since = c->now; /* from the start of the turn that found nothing */
	balance_offer(c);
	if (!core_announce(c, CORE_PARTS)) {
		for (unsigned i = 0; i < CORE_PARTS; i++)
			if (c->part[i] && c->part[i]->deadline)
				deadline = min_of(deadline, c->part[i]->deadline(c));
		if (unlikely(c->role_next)) /* not done with leaving */
			deadline = min_of(deadline, c->look_at);
		if (unlikely(trace_detail) && c->now > c->sample_time)
			core_sample(c);
		trace_event(TRACE_SLEEP, 0, 0, deadline);
		c->count->sleeps++;
		arch_idle_wait(deadline);
		trace_event(TRACE_WAKE, 0, 0, 0);
	}
	core_return(c);
	c->busy_until = arch_time_ns();
	c->count->sleep_ns += c->busy_until - c->signals.asleep_since;
	c->signals.asleep_since = 0;
}

/* A turn found nothing and the budget lasts. */
static void core_spin(struct core *c)
{
	if (unlikely(c->watch)) {
		/* Nobody has added to it since before the turn: else that was for something which
		 * the turn may have missed. The acquire pairs with the adding after the posting. */
		if (arch_relax_on(c->watch, c->watch_seen))
			c->count->waits++;
		c->watch_seen = atomic_load_explicit(c->watch, memory_order_acquire);
	} else {
		arch_relax();
	}
	c->count->spin_ns += arch_time_ns() - c->now;
}

noreturn_fn void core_loop(struct core *c)
{
	c->started = c->busy_until = c->sample_time = c->signals.stamp = arch_time_ns();
	for (;;) {
		nsec_t idle;

		while (core_turn(c))
			;
		idle = c->busy_until;
		do {
			if (c->now - c->busy_until < c->spin.budget)
				core_spin(c);
			else
				core_sleep(c);
		} while (!core_turn(c));
		spin_waited(&c->spin, c->now - idle);
	}
}

static void core_enter(struct core *c)
{
	core_loop(c);
}

/* What the devices' owner, or the last who could run programs, leaves behind nobody can take. */
static void core_missing(struct core *c)
{
	const char *why = NULL;

	if (c->roles & (ROLE_IO | ROLE_NET) || core_with_role(ROLE_SERVES) == c)
		why = "devices are its";
	role_lost(c);
	for (unsigned i = 0; !why; i++) {
		if (i == CORES_MAX)
			why = "nobody is left to run programs";
		else if (cores[i] && core_has_role(cores[i], ROLE_USER))
			break;
	}
	kprint("core %u: the hart does not start; %s%s\n", (unsigned)c->index,
	       why ? "no going on without it, " : "going on without it", why ? why : "");
	if (why)
		arch_poweroff(STATUS_HART);
}

noreturn_fn void cores_start(void)
{
	for (unsigned i = 1; i < CORES_MAX; i++)
		if (cores[i] && arch_core_start(i, core_enter, cores[i]))
			core_missing(cores[i]);
	core_loop(this_core());
}
