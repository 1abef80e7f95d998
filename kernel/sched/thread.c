/*
 * thread: which user thread a core runs next. One queue per core, first come first served, a slice
 * only when somebody else waits: a core with a single runnable thread takes no tick.
 *
 *  thread_start/wake --mail--> READY queue --> RUNNING (user mode) --trap--> handler --> goes on | PARKED | DEAD
 *
 * A wake may overtake the park it is meant for: it is kept in `woken`, and the next thread_park
 * answers false.
 *
 *  READY, PARKED --thread_depart: out of this core's registers, t->core = B--> MOVING --mail--> core B: thread_arrive
 *
 * Whoever stores t->core lets go of the thread by that. Wakes and orders that reach its new core
 * before it does find it MOVING, and are kept until it is there.
 */
#include "sched/thread.h"

#include "base/panic.h"
#include "base/trace.h"
#include "cores/balance.h"
#include "mm/aspace.h"
#include "mm/frames.h"
#include "sched/inbox.h"
#include "sched/op.h"
#include "sched/timer.h"
#include "uapi/errno.h"

#define SLICE_NS 4000000ull  /* when threads share a core */
#define TRAPS_PER_TURN 64    /* traps served in a row before the core looks at its other work */

struct placement {
	/* owner core only */
	struct list ready;
	unsigned ready_count;
	struct list all; /* struct thread.at */
	/* crowded: when the balancer wants this core to look at itself; how long after the last
	 * time */
	nsec_t look_at, look_ns;

	/* any core */
	_Atomic uint32_t placed; /* threads that belong here, or are on their way */
};

static void thread_ready(struct thread *t)
{
	struct core *c = this_core();
	struct placement *p = c->users;

	t->state = THREAD_READY;
	t->ready_since = c->now;
	list_push_back(&p->ready, &t->link);
	p->ready_count++;
}

bool thread_follow(struct thread *t, struct mail *m)
{
	unsigned core = thread_core(t);

	if (likely(core == this_core()->index))
		return false;
	mailbox_post(core, m);
	return true;
}

static void thread_leave_forbidden(struct thread *t);

static void thread_wake_deliver(struct mail *m)
{
	struct thread *t = container_of(m, struct thread, wake_mail);

	if (unlikely(thread_follow(t, m)))
		return;
	/*
	 * The node is free for the next wake. An exchange, not a store: with two wakers, the second
	 * may find `wakes` still set and leave it at that, so what it had done before must be seen
	 * by what the thread does after this.
	 */
	/* model: wake-clear */
	atomic_exchange_explicit(&t->wakes, 0, memory_order_acq_rel);
	if (unlikely(thread_is_served(t)))
		return; /* for what it waited for before: its answer comes with a wake of its own */
	if (t->state == THREAD_NEW)
		list_push_back(&this_core()->users->all, &t->at);
	if (t->state == THREAD_PARKED) {
		thread_ready(t);
	} else if (t->state == THREAD_NEW) {
		thread_ready(t);
		thread_leave_forbidden(t);
	} else {
		t->woken = 1;
	}
}

/* Only the wake that makes the count nonzero posts the node, so it is in at most one mailbox. */
void thread_wake(struct thread *t)
{
	/* model: wake-count */
	if (atomic_fetch_add_explicit(&t->wakes, 1, memory_order_acq_rel))
		return;
	t->wake_mail.deliver = thread_wake_deliver;
	thread_wake_deliver(&t->wake_mail); /* here, or it follows the thread */
}

unsigned placement_least_loaded(void)
{
	unsigned best = CORES_MAX, least = 0;

	for (unsigned i = 0; i < CORES_MAX; i++) {
		unsigned n;

		if (!cores[i] || !core_takes(cores[i], ROLE_USER))
			continue;
		n = placement_count(cores[i]);
		if (best == CORES_MAX || n < least) {
			best = i;
			least = n;
		}
	}
	kassert(best < CORES_MAX); /* cores_init refuses a map without user cores */
	return best;
}

void thread_place(struct thread *t, unsigned core)
{
	for (unsigned i = 0; i < CORE_WORDS; i++)
		atomic_store_explicit(&t->allowed[i], UINT64_MAX, memory_order_relaxed);
	atomic_store_explicit(&t->core, core, memory_order_release);
	atomic_fetch_add_explicit(&cores[core]->users->placed, 1, memory_order_relaxed);
}

void thread_start(struct thread *t)
{
	t->state = THREAD_NEW;
	list_init(&t->link);
	list_init(&t->at);
	thread_wake(t);
}

bool thread_park(struct thread *t)
{
	audit(thread_core(t) == this_core()->index);
	if (t->woken) {
		t->woken = 0;
		return false;
	}
	t->state = THREAD_PARKED;
	return true;
}

void thread_park_served(struct thread *t)
{
	audit(thread_core(t) == this_core()->index);
	t->woken = 0; /* meant something else */
	t->state = THREAD_PARKED;
	/* seen by who serves it, to whom the caller passes it on */
	atomic_store_explicit(&t->serving, 1, memory_order_relaxed);
}

void thread_answer(struct thread *t)
{
	/* thread_wake orders it: who takes the wake sees it */
	atomic_store_explicit(&t->serving, 0, memory_order_relaxed);
	thread_wake(t);
}

/* Out of this core's lists and counts. */
static void thread_unplace(struct core *c, struct thread *t)
{
	if (t->state == THREAD_READY) {
		list_remove(&t->link);
		c->users->ready_count--;
	}
	list_remove(&t->at);
	atomic_fetch_sub_explicit(&c->users->placed, 1, memory_order_relaxed);
}

static void thread_end(struct core *c, struct thread *t)
{
	thread_unplace(c, t);
	t->state = THREAD_DEAD;
	arch_user_fini(&t->user);
	t->dead(t);
}

void thread_kill(struct thread *t)
{
	if (t->state == THREAD_DEAD || (t->kill & THREAD_DIE))
		return;
	t->kill |= THREAD_DIE;
	/* from its own trap handler: placement_run sees the mark; or thread_arrive does */
	if (t->state == THREAD_RUNNING || t->state == THREAD_MOVING)
		return;
	thread_end(this_core(), t);
}

bool thread_stop(struct thread *t)
{
	bool served = thread_is_served(t);

	if (t->state == THREAD_DEAD)
		return false;
	t->kill |= THREAD_STOP;
	if (t->state == THREAD_PARKED && !served) /* it dozes */
		thread_ready(t);
	else if (t->state == THREAD_MOVING && !served)
		t->woken = 1;
	return served;
}

/* What was wanted of it, instead of running on. */
static void thread_obey(struct core *c, struct thread *t)
{
	if (t->kill & THREAD_DIE) {
		thread_end(c, t);
		return;
	}
	t->kill = 0;
	thread_park_served(t);
	if (t->inbox)
		inbox_rest(t->inbox);
	t->stopped(t);
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* On its new core. */
static void thread_arrive(struct mail *m)
{
	struct thread *t = container_of(m, struct thread, move_mail);
	struct core *c = this_core();

	list_push_back(&c->users->all, &t->at);
	t->since = c->now;
	t->slice_end = t->seen = 0;
	c->count->thread_moves++;
	trace_event(TRACE_THREAD, t->parked, (uint64_t)t, t->from);
	atomic_store_explicit(&t->move_to, 0, memory_order_relaxed);
	t->state = THREAD_PARKED;
	if (unlikely(t->kill & THREAD_DIE)) {
		thread_end(c, t);
		return;
	}
	arch_user_arrive(&t->user);
	t->moved(t);
	if (unlikely(t->inbox))
		inbox_arrive(c, t->inbox, t->parked);
	if (!t->parked || t->woken) {
		t->woken &= !t->parked;
		thread_ready(t);
	}
	/* `move_to`, then `allowed`; thread_allow does it the other way round */
	atomic_thread_fence(memory_order_seq_cst);
	thread_leave_forbidden(t);
}

/* READY or PARKED. The store of t->core is the last that this core does to it, but for the mail
 * that is on its way by then. */
static void thread_depart(struct thread *t, unsigned to)
{
	struct core *c = this_core();

	thread_unplace(c, t);
	t->parked = t->state == THREAD_PARKED;
	t->from = c->index;
	t->state = THREAD_MOVING;
	t->been[c->index / 64] |= 1ull << c->index % 64;
	if (unlikely(t->inbox))
		inbox_leave(t->inbox, t->parked);
	arch_user_leave(&t->user, t->as);
	atomic_fetch_add_explicit(&cores[to]->users->placed, 1, memory_order_relaxed);
	t->move_mail.deliver = thread_arrive;
	atomic_store_explicit(&t->core, to, memory_order_release);
	mailbox_post(to, &t->move_mail);
}

static void thread_asked(struct mail *m)
{
	struct thread *t = container_of(m, struct thread, move_mail);
	unsigned to = atomic_load_explicit(&t->move_to, memory_order_relaxed) - 1;

	if (thread_follow(t, m))
		return;
	if ((t->state == THREAD_READY || t->state == THREAD_PARKED) && to != this_core()->index)
		thread_depart(t, to);
	else /* it has died, or has not begun */
		atomic_store_explicit(&t->move_to, 0, memory_order_relaxed);
}

int thread_send(struct thread *t, unsigned to)
{
	uint32_t none = 0;

	if (to >= CORES_MAX || !cores[to] || !core_has_role(cores[to], ROLE_USER) ||
	    !thread_may_be_on(t, to))
		return -EINVAL;
	if (thread_core(t) == to)
		return 0;
	if (!atomic_compare_exchange_strong(&t->move_to, &none, to + 1))
		return -EBUSY;
	t->move_mail.deliver = thread_asked;
	/* running: its core makes it way for its mail first */
	if (thread_core(t) == this_core()->index && t->state != THREAD_RUNNING)
		thread_asked(&t->move_mail);
	else
		mailbox_post(thread_core(t), &t->move_mail);
	return 0;
}

/* It may not be where it is: sent away, unless a move is under way, behind which this is asked
 * again. */
static void thread_leave_forbidden(struct thread *t)
{
	unsigned core = thread_core(t);

	if (unlikely(!thread_may_be_on(t, core)))
		(void)!thread_send(t, thread_next_core(t, core));
}

void thread_allow(struct thread *t, const uint64_t mask[CORE_WORDS])
{
	for (unsigned i = 0; i < CORE_WORDS; i++)
		atomic_store_explicit(&t->allowed[i], mask[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with thread_arrive */
	thread_leave_forbidden(t);
}

unsigned thread_next_core(const struct thread *t, unsigned after)
{
	for (unsigned i = 1; i < CORES_MAX; i++) {
		unsigned n = (after + i) % CORES_MAX;

		if (cores[n] && core_takes(cores[n], ROLE_USER) && thread_may_be_on(t, n))
			return n;
	}
	return after;
}

/* ---- running --------------------------------------------------------------------------------- */

unsigned placement_ready_count(struct core *c)
{
	return c->users ? c->users->ready_count : 0;
}

unsigned placement_count(const struct core *c)
{
	return c->users ? atomic_load_explicit(&c->users->placed, memory_order_relaxed) : 0;
}

struct thread *placement_next(struct core *c, const struct thread *t)
{
	struct list *next = t ? t->at.next : c->users->all.next;

	return next == &c->users->all ? NULL : list_item(next, struct thread, at);
}

/* Leaves for user mode, unless somebody posted in the meantime. Pairs with mailbox_post like
 * core_sleep does. */
static bool core_leave(struct core *c)
{
	/* model: leave-announce */
	atomic_store_explicit(&c->away, 1, memory_order_relaxed);
	/* model: leave-fence */
	atomic_thread_fence(memory_order_seq_cst);
	if (likely(mailbox_is_empty(c)))
		return true;
	/* model: leave-not */
	atomic_store_explicit(&c->away, 0, memory_order_relaxed);
	return false;
}

/* The user-mode deadline: the end of the slice if others wait, or sooner if some core could take
 * one, and on a core that also serves its next timer. */
static void placement_deadline(struct core *c, struct placement *p, struct thread *t)
{
	nsec_t deadline = p->ready_count ? min_of(t->slice_end, p->look_at) : NSEC_NEVER;

	deadline = min_of(deadline, c->timer_next);
	c->calls &= ~CORE_CALL_TIMER;
	if (deadline != c->user_deadline) {
		c->user_deadline = deadline;
		arch_user_deadline(deadline);
	}
}

/* Nobody waits any more. */
static void placement_uncrowd(struct core *c)
{
	struct core_signals *s = &c->signals;

	if (unlikely(s->ready)) {
		s->ready = 0;
		s->ready_since = 0;
		balance_crowd_ends();
	}
}

/*
 * What the core says of those that wait behind the one it has chosen. When one has waited for a
 * little, and some core has nothing to run, this one makes way for a look at itself: it is the only
 * one that is sure to be awake. Where that does not help, it asks half as often each time.
 */
static void placement_crowd(struct core *c, struct placement *p)
{
	struct core_signals *s = &c->signals;
	nsec_t since = list_item(p->ready.next, struct thread, link)->ready_since;

	if (!s->ready) {
		balance_crowd_begins();
		p->look_ns = BALANCE_AGE_NS;
		p->look_at = since + p->look_ns;
	} else if (c->now >= p->look_at) {
		p->look_ns = min_of(2 * p->look_ns, (nsec_t)SLICE_NS);
		p->look_at = c->now + p->look_ns;
	}
	s->ready = (uint16_t)p->ready_count; /* there are fewer threads */
	s->ready_since = since;
	if (balance_look_by(c, p->look_at))
		return;
	p->look_at = NSEC_NEVER; /* nobody could take one: who falls asleep looks here */
}

static unsigned placement_run(struct core *c)
{
	struct placement *p = c->users;
	struct list *first;
	struct thread *t;
	bool on = true;

	/* before the answer: who finds 0 may sleep at once, and nothing would wake it for this */
	if (unlikely(c->inboxes_used) && list_is_empty(&p->ready))
		inboxes_look(c);
	first = list_pop_front(&p->ready);
	if (!first) {
		placement_uncrowd(c);
		return 0;
	}
	p->ready_count--;
	if (unlikely(p->ready_count))
		placement_crowd(c, p);
	else
		placement_uncrowd(c);
	t = list_item(first, struct thread, link);
	t->state = THREAD_RUNNING;
	t->slice_end = c->now + SLICE_NS;
	if (unlikely(t->inbox))
		inbox_run(c, t->inbox, p->ready_count);
	for (unsigned n = 0; n < TRAPS_PER_TURN && on && !t->kill; n++) {
		struct arch_exit exit;
		enum arch_exit_kind kind;

		placement_deadline(c, p, t);
		if (!core_leave(c))
			break;
		kind = arch_user_run(&t->user, t->as, &exit);
		/* model: leave-back */
		atomic_store_explicit(&c->away, 0, memory_order_relaxed);
		c->count->user_traps++;
		if (kind == ARCH_EXIT_IRQ) {
			c->count->user_irqs++;
			if (unlikely(c->inboxes_used))
				inboxes_look(c);
			/* the tick may be what brought us here: set it anew */
			c->user_deadline = 0;
			break;
		}
		on = t->trap(t, kind, &exit);
		on = on && !executor_has_work(c);
	}
	if (unlikely(t->inbox)) {
		inbox_stop(c, t->inbox);
		/* one that is READY sees what came when it runs */
		if (t->state != THREAD_RUNNING)
			inbox_rest(t->inbox);
	}
	if (t->kill && t->state != THREAD_DEAD) {
		thread_obey(c, t);
	} else if (t->state == THREAD_RUNNING) {
		thread_ready(t);
	}
	return 1;
}

static const struct core_part_ops placement_part = { .name = "user", .run = placement_run };

void placement_init(struct core *c)
{
	c->users = frames_boot_alloc(sizeof(*c->users));
	list_init(&c->users->ready);
	list_init(&c->users->all);
	c->user_deadline = NSEC_NEVER;
	core_part_set(c, PART_USER, &placement_part);
}
