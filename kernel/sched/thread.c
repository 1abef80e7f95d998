/*
 * thread: which user thread a core runs next. One queue per core, first come first served, a slice
 * only when somebody else waits: a core with a single runnable thread takes no tick.
 *
 *  thread_start/wake --mail--> READY queue --> RUNNING (user mode) --trap--> handler --> goes on | PARKED | DEAD
 *
 * A wake may overtake the park it is meant for: it is kept in `woken`, and the next thread_park
 * answers false.
 */
#include "sched/thread.h"

#include "base/panic.h"
#include "mm/aspace.h"
#include "mm/frames.h"
#include "sched/inbox.h"
#include "sched/op.h"
#include "sched/timer.h"

#define SLICE_NS 4000000ull  /* when threads share a core */
#define TRAPS_PER_TURN 64    /* traps served in a row before the core looks at its other work */

struct placement {
	struct list ready;
	unsigned ready_count;
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

static void thread_wake_deliver(struct mail *m)
{
	struct thread *t = container_of(m, struct thread, wake_mail);

	/*
	 * The node is free for the next wake. An exchange, not a store: with two wakers, the second
	 * may find `wakes` still set and leave it at that, so what it had done before must be seen
	 * by what the thread does after this.
	 */
	/* model: wake-clear */
	atomic_exchange_explicit(&t->wakes, 0, memory_order_acq_rel);
	if (t->state == THREAD_PARKED || t->state == THREAD_NEW)
		thread_ready(t);
	else
		t->woken = 1;
}

/* Only the wake that makes the count nonzero posts the node, so it is in at most one mailbox. */
void thread_wake(struct thread *t)
{
	/* model: wake-count */
	if (atomic_fetch_add_explicit(&t->wakes, 1, memory_order_acq_rel))
		return;
	if (t->core == this_core()->index) {
		thread_wake_deliver(&t->wake_mail);
		return;
	}
	t->wake_mail.deliver = thread_wake_deliver;
	mailbox_post(t->core, &t->wake_mail);
}

void thread_start(struct thread *t)
{
	t->state = THREAD_NEW;
	list_init(&t->link);
	thread_wake(t);
}

bool thread_park(struct thread *t)
{
	audit(t->core == this_core()->index);
	if (t->woken) {
		t->woken = 0;
		return false;
	}
	t->state = THREAD_PARKED;
	return true;
}

void thread_kill(struct thread *t)
{
	struct placement *p = this_core()->users;

	if (t->state == THREAD_DEAD || t->kill)
		return;
	t->kill = 1;
	if (t->state == THREAD_RUNNING)
		return; /* from its own trap handler: placement_run sees the mark */
	if (t->state == THREAD_READY) {
		list_remove(&t->link);
		p->ready_count--;
	}
	t->state = THREAD_DEAD;
	arch_user_fini(&t->user);
	t->dead(t);
}

unsigned placement_ready_count(struct core *c)
{
	return c->users ? c->users->ready_count : 0;
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

/* The user-mode deadline: the end of the slice if others wait, and on a core that also serves its
 * next timer. */
static void placement_deadline(struct core *c, struct placement *p, struct thread *t)
{
	nsec_t deadline = p->ready_count ? t->slice_end : NSEC_NEVER;

	deadline = min_of(deadline, c->timer_next);
	c->calls &= ~CORE_CALL_TIMER;
	if (deadline != c->user_deadline) {
		c->user_deadline = deadline;
		arch_user_deadline(deadline);
	}
}

/* What the core says of those that wait behind the one it has chosen. */
static void placement_signal(struct core *c, const struct placement *p)
{
	struct core_signals *s = &c->signals;

	s->ready = p->ready_count;
	s->ready_since =
		p->ready_count ? list_item(p->ready.next, struct thread, link)->ready_since : 0;
}

static unsigned placement_run(struct core *c)
{
	struct placement *p = c->users;
	struct list *first;
	struct thread *t;
	bool on = true;

	first = list_pop_front(&p->ready);
	if (!first) {
		c->signals.ready = 0;
		c->signals.ready_since = 0;
		if (unlikely(c->inboxes_used))
			inboxes_look(c);
		return 0;
	}
	p->ready_count--;
	placement_signal(c, p);
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
	/* one that is READY sees what came when it runs */
	if (unlikely(t->inbox) && t->state != THREAD_RUNNING)
		inbox_rest(t->inbox);
	if (t->kill && t->state != THREAD_DEAD) {
		t->state = THREAD_DEAD;
		arch_user_fini(&t->user);
		t->dead(t);
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
	c->user_deadline = NSEC_NEVER;
	core_part_set(c, PART_USER, &placement_part);
}
