/*
 * move: a ring goes from one serving core to another. docs/moves.md says what follows it, what
 * finishes where it began, and why nothing is lost or overtaken.
 *
 *   HERE --ring_move: mail goes to the new core from now on--> FENCE --every core that runs ops of the
 *    ^      ring knows it--> in the mail (RING_NOWHERE) --ring_adopt, on the new core--> HERE
 *    |                                                            |
 *    +------------------------------------------------------------+
 *
 * While it is fenced the ring is served as ever; what comes to the new core too early waits there.
 * Each function names its core; the ring itself, in the mail, takes all that is its core's along.
 */
#include "ring/internal.h"

#include "base/cmdline.h"
#include "base/trace.h"
#include "cores/balance.h"
#include "mm/frames.h"
#include "uapi/errno.h"

/* ---- mail that comes where the ring is not --------------------------------------------------- */

bool ring_is_elsewhere(struct core *c, struct ring *r, struct mail *m)
{
	uint32_t post;

	if (likely(ring_is_here(c, r)))
		return false;
	post = ring_post_core(r);
	if (post != c->index) {
		mailbox_post(post, m);
		return true;
	}
	m->next = NULL;
	if (r->early)
		r->early_last->next = m;
	else
		r->early = m;
	r->early_last = m;
	return true;
}

static void early_deliver(struct ring *r)
{
	struct mail *m = r->early, *next;

	r->early = NULL;
	for (; m; m = next) {
		next = m->next;
		m->deliver(m);
	}
}

/* ---- where its operations may be ------------------------------------------------------------- */

void ring_visits(struct ring *r, uint32_t core)
{
	uint64_t bit = 1ull << core % 64;

	if (!(atomic_load_explicit(&r->visited[core / 64], memory_order_relaxed) & bit))
		atomic_fetch_or_explicit(&r->visited[core / 64], bit, memory_order_relaxed);
}

static void ring_op_given(struct op *op, unsigned to)
{
	if (op->ring)
		ring_visits(op->ring, to);
}

/* A core that may still post where the ring was: not fenced yet. RING_NOWHERE: none. */
static uint32_t fence_next(const struct core *c, struct ring *r)
{
	for (unsigned i = 0; r->inflight_count && i < array_count(r->fenced); i++) {
		uint64_t left = atomic_load_explicit(&r->visited[i], memory_order_relaxed) &
				~r->fenced[i];

		for (unsigned bit = 0; left; bit++, left >>= 1) {
			if (!(left & 1))
				continue;
			r->fenced[i] |= 1ull << bit;
			if (i * 64 + bit != c->index)
				return i * 64 + bit;
		}
	}
	return RING_NOWHERE;
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Those that need the ring's core while they wait: their timers are this core's no more. */
static void followers_leave(struct ring *r)
{
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each(pos, &r->inflight[i]) {
			struct op *op = list_item(pos, struct op, inflight);

			if (op->row == &row_timeout)
				timeout_leave(op);
			if (op->chain && op->chain->row == &row_link_timeout)
				link_timeout_leave(op->chain);
		}
	enter_leave(r);
}

static void followers_join(struct core *c, struct ring *r)
{
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each(pos, &r->inflight[i]) {
			struct op *op = list_item(pos, struct op, inflight);

			if (op->row == &row_timeout)
				timeout_join(c, op);
			if (op->chain && op->chain->row == &row_link_timeout)
				link_timeout_join(op->chain);
		}
	enter_join(r);
}

static void ring_adopt(struct mail *m);

static void ring_hand_over(struct core *c, struct ring *r)
{
	ring_begin_ready(c);
	ring_publish(c, r);
	if (c->index == ring_home(r))
		door_forget(r);
	followers_leave(r);
	rings_lock(c->rings);
	list_remove(&r->link);
	rings_unlock(c->rings);
	r->held_away[c->index] = (uint16_t)r->ops_held;
	r->ops_held = 0;
	if (r->inflight_count)
		ring_visits(r, c->index);
	c->count->ring_moves++;
	trace_event(TRACE_RING, ring_post_core(r), r->id, r->inflight_count);
	atomic_store_explicit(&r->core, RING_NOWHERE, memory_order_relaxed);
	r->move_mail.deliver = ring_adopt;
	mailbox_post(ring_post_core(r), &r->move_mail);
}

static void move_fence(struct mail *m);

/* On a core where operations of the ring may be: what it has posted, it has posted before this;
 * what it posts from now on goes to the new core. */
static void move_pass(struct mail *m)
{
	struct ring *r = container_of(m, struct ring, move_mail);

	m->deliver = move_fence;
	mailbox_post(atomic_load_explicit(&r->core, memory_order_relaxed), m);
}

/* On the ring's core: all is here that was posted here. */
static void move_fence(struct mail *m)
{
	struct ring *r = container_of(m, struct ring, move_mail);
	struct core *c = this_core();
	uint32_t next = fence_next(c, r);

	if (next == RING_NOWHERE) {
		ring_hand_over(c, r);
		return;
	}
	m->deliver = move_pass;
	mailbox_post(next, m);
}

static void move_begin(struct core *c, struct ring *r, uint32_t to)
{
	r->moving = 1;
	for (unsigned i = 0; i < array_count(r->fenced); i++) {
		r->fenced[i] = 0;
		if (!r->inflight_count)
			atomic_store_explicit(&r->visited[i], 0, memory_order_relaxed);
	}
	/* read by who posts; the fence's mails carry it to those whose mail must not be
	 * overtaken */
	atomic_store_explicit(&r->post, to, memory_order_relaxed);
	r->move_mail.deliver = move_fence;
	mailbox_post(c->index, &r->move_mail);
}

static bool core_may_serve(const struct ring *r, unsigned to)
{
	const struct core *there = to < CORES_MAX ? cores[to] : NULL;

	return there && there->rings && core_takes(there, ROLE_SERVES) &&
	       !(r->kind == RING_POLLED && core_has_role(there, ROLE_USER));
}

int ring_move(struct ring *r, unsigned to)
{
	struct core *c = this_core();

	if (r->kind == RING_SLOT || !core_may_serve(r, to) || (r->pinned && r->pinned != to + 1))
		return -EINVAL;
	if (!ring_is_here(c, r))
		return -EXDEV;
	if (to == c->index)
		return -EALREADY;
	if (r->moving || r->wanted_home || (r->slow & RING_SLOW_DEAD) ||
	    (r->watchers & RING_POLLED_FD))
		return -EBUSY;
	move_begin(c, r, to);
	return 0;
}

int ring_pin(struct ring *r, uint32_t cpu)
{
	int err;

	if (cpu >= CORES_MAX || !core_may_serve(r, cpu) || (cores[cpu]->roles & ROLE_ELASTIC))
		return -EINVAL;
	r->pinned = (uint8_t)(cpu + 1);
	err = ring_move(r, cpu);
	return err == -EALREADY ? 0 : err;
}

void ring_settle(struct ring *r)
{
	/* one that may not go, because its descriptor is polled or its end has begun, stays */
	if (r->pinned)
		(void)!ring_move(r, r->pinned - 1u);
}

/* ---- arriving -------------------------------------------------------------------------------- */

/* Programs know the doorbell line and the waker of the core they were born on: bits of the word in
 * which they find NEED_WAKEUP say whether those lead to the ring. */
static void ring_show_place(const struct core *c, struct ring *r)
{
	uint32_t away = SLUICE_SQ_AWAY, watched = r->watched ? SLUICE_SQ_WATCHED : 0;
	bool home = c->index == ring_home(r);

	atomic_fetch_or_explicit(&r->shared->sq_flags, home ? watched : away,
				 memory_order_relaxed);
	atomic_fetch_and_explicit(&r->shared->sq_flags, ~(home ? away : watched),
				  memory_order_relaxed);
}

static void ring_adopt(struct mail *m)
{
	struct ring *r = container_of(m, struct ring, move_mail);
	struct core *c = this_core();

	/* Pairs with the fence of enter_trap: who sees NEED_WAKEUP from us sees where to ring. */
	atomic_thread_fence(memory_order_release);
	ring_show_place(c, r);
	r->op_word = op_word(OP_STEPPING, 0, 0, ring_priority(r), c->index, c->index);
	r->ops_held = r->held_away[c->index];
	r->held_away[c->index] = 0;
	r->moving = 0;
	ring_enlist(c, r);
	atomic_store_explicit(&r->core, c->index, memory_order_relaxed);
	trace_event(TRACE_RING, c->index, r->id, r->inflight_count);
	followers_join(c, r);
	early_deliver(r);
	ring_begin_ready(c);
	ring_publish(c, r);
	if (c->index == ring_home(r)) {
		r->called = r->called && !r->call_heard;
		r->call_heard = 0;
		ring_is_home(c, r);
	} else if (r->wanted_home && !r->moving) { /* the call may have been among the early mail */
		move_begin(c, r, ring_home(r));
	}
}

/* ---- called home ----------------------------------------------------------------------------- */

/* The call arrives where the ring is; at home, when that came back by itself meanwhile. */
static void home_called(struct mail *m)
{
	struct ring *r = container_of(m, struct ring, home_mail);
	struct core *c = this_core();

	if (ring_is_elsewhere(c, r, m))
		return;
	if (c->index == ring_home(r)) {
		r->called = false;
		if (ring_rests_here(c, r))
			ring_is_home(c, r);
		else
			r->wanted_home = 1;
		return;
	}
	r->wanted_home = r->call_heard = 1;
	if (!r->moving)
		move_begin(c, r, ring_home(r));
}

void ring_call_home(struct ring *r)
{
	if (ring_is_here(this_core(), r)) {
		r->wanted_home = 1; /* it is about to leave */
		return;
	}
	if (r->called)
		return;
	r->called = true;
	r->home_mail.deliver = home_called;
	mailbox_post(ring_post_core(r), &r->home_mail);
}

bool ring_park_until_home(struct op *op, struct file *f)
{
	struct ring *r = container_of(f, struct ring, file);

	if (op->file) { /* it was parked: its caller has looked the file up again */
		file_put(op->file);
		op->file = NULL;
	}
	if (ring_is_here(this_core(), r) || (op->flags & OP_CANCELLED))
		return false;
	op->file = f;
	op_park(op, &r->home_waiters);
	ring_call_home(r);
	return true;
}

/* ---- for tests and experiments: the boot argument move_us ------------------------------------ */

static nsec_t move_every;

/* Where a ring goes when nobody thinks about it: each time elsewhere, if there are several. */
static uint32_t move_anywhere(const struct core *c, const struct ring *r)
{
	uint32_t to = c->index + 1 + (uint32_t)(c->turn + r->id) % cores_count;

	for (unsigned i = 0; i < cores_count; i++, to++)
		if (to % cores_count != c->index && core_may_serve(r, to % cores_count))
			return to % cores_count;
	return c->index;
}

static void move_all(struct core *c, struct list *rings)
{
	list_for_each(pos, rings) {
		struct ring *r = list_item(pos, struct ring, link);
		/* a ring that may not now is asked next time */
		int err = ring_move(r, move_anywhere(c, r));

		(void)err;
	}
}

static void move_tick(struct timer *t)
{
	struct core *c = this_core();

	move_all(c, &c->rings->rings);
	move_all(c, &c->rings->entered);
	timer_arm(t, c->now + move_every);
}

static void move_tick_begin(struct mail *m)
{
	struct ring_core *rc = container_of(m, struct ring_core, tick_mail);

	timer_init(&rc->tick, move_tick);
	timer_arm(&rc->tick, this_core()->now + move_every);
}

/* ---- for the balancer ------------------------------------------------------------------------ */

static struct balance_unit *unit_least(struct balance_unit *units, unsigned count)
{
	struct balance_unit *least = units;

	for (unsigned i = 1; i < count; i++)
		if (units[i].load < least->load)
			least = &units[i];
	return least;
}

/* Those of one list, behind the `n` that are there already. Returns how many there are now. One
 * that is about to leave is not there any more: else the next pass sees two where one stays, and
 * sends that one after it. */
static unsigned rings_add(struct core *c, const struct list *rings, struct balance_unit *out,
			  unsigned n, unsigned max)
{
	list_for_each(pos, rings) {
		struct ring *r = list_item(pos, struct ring, link);
		uint32_t load = r->sq_head - r->head_listed;
		struct balance_unit *u;

		if (r->pinned || r->moving)
			continue;
		u = n < max ? &out[n++] : unit_least(out, max);
		r->head_listed = r->sq_head;
		if (u->id && u->load >= load)
			continue;
		*u = (struct balance_unit){ .id = r->id, .load = load,
					    .age_ns = balance_age(r->behind_since, c->now) };
	}
	return n;
}

/* The polled ones, and those that are consumed when their threads enter: that is this core's work,
 * too. */
static unsigned rings_list(struct core *c, struct balance_unit *out, unsigned max)
{
	unsigned n;

	memset(out, 0, sizeof(*out) * max);
	if (!c->rings)
		return 0;
	n = rings_add(c, &c->rings->rings, out, 0, max);
	return rings_add(c, &c->rings->entered, out, n, max);
}

static struct ring *ring_of(struct list *rings, uint64_t id)
{
	list_for_each(pos, rings)
		if (list_item(pos, struct ring, link)->id == id)
			return list_item(pos, struct ring, link);
	return NULL;
}

static int rings_move(struct core *c, uint64_t id, unsigned to)
{
	struct ring *r = ring_of(&c->rings->rings, id);
	int err;

	if (!r)
		r = ring_of(&c->rings->entered, id);
	err = r ? ring_move(r, to) : -ENOENT;
	return err == -EALREADY ? -EINVAL : err;
}

static const struct balance_mover rings_mover = { "rings", rings_list, rings_move };

void ring_moves_init(struct core *c)
{
	op_given_hook = ring_op_given;
	balance_mover_set(BALANCE_RING, &rings_mover);
	move_every = cmdline_find_u64("move_us", 0) * 1000;
	if (!move_every)
		return;
	/* a timer is armed by its own core */
	c->rings->tick_mail.deliver = move_tick_begin;
	mailbox_post(c->index, &c->rings->tick_mail);
}
