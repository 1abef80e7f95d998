/*
 * balance: see balance.h. What a core says of itself is its own: its signals (struct core), and a
 * board with what it could give away, written under a sequence count, so that a reader who comes
 * in between does without. The view of a pass, the policy's state and the time of the next pass
 * belong to who holds `deciding`.
 */
#include "cores/balance.h"

#include "base/cmdline.h"
#include "base/panic.h"
#include "base/print.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define LOOK_MIN_NS 4000u /* a shorter window says nothing */
#define VIEW_UNITS 256u	  /* in one view; what is beyond is not moved in this pass */
#define ORDER_MOVES 4u
#define UNIT_WORDS (sizeof(struct balance_unit) / sizeof(uint64_t))

/* What could be moved: the owner writes, whoever decides reads. */
struct board {
	_Atomic uint32_t seq; /* odd: being written */
	_Atomic uint32_t count;
	_Atomic uint64_t words[BALANCE_UNITS * UNIT_WORDS];
};

struct balance_desk {
	struct board board;
	/* whoever decides, from `out` set until the owner has set it back */
	struct mail mail;
	struct core *core;
	_Atomic uint32_t out;
	unsigned count;
	struct balance_move moves[ORDER_MOVES];
};

/* set once at boot */
static const struct balance_mover *movers[BALANCE_KINDS];
static const struct policy *policy = &policy_default;

/* any core, atomic */
static _Atomic uint32_t deciding;
static _Atomic nsec_t pass_at;
static _Atomic uint64_t moves_done[BALANCE_KINDS];

/* whoever decides */
static struct policy_state state;
static struct balance_core view[CORES_MAX];
static struct balance_unit view_units[VIEW_UNITS];

#define word_of(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define word_set(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)

void balance_mover_set(enum balance_kind kind, const struct balance_mover *m)
{
	movers[kind] = m;
}

const struct balance_mover *balance_mover(enum balance_kind kind)
{
	return movers[kind];
}

void balance_policy_set(const struct policy *p)
{
	policy = p;
	if (p->reset)
		p->reset(&state);
}

const struct policy *balance_policy(void)
{
	return policy;
}

uint64_t balance_moves(enum balance_kind kind)
{
	return atomic_load_explicit(&moves_done[kind], memory_order_relaxed);
}

/* Is there anything that could ever be moved? */
static bool balance_is_possible(void)
{
	unsigned serve = 0, run = 0;

	for (unsigned i = 0; i < cores_count; i++) {
		if (!cores[i])
			continue;
		if (cores[i]->roles & ROLE_ELASTIC)
			return true;
		serve += (cores[i]->roles & ROLE_SERVES) != 0;
		run += (cores[i]->roles & ROLE_USER) != 0;
	}
	return serve > 1 || run > 1;
}

int balance_init(void)
{
	const char *name = cmdline_find("policy");
	const struct policy *p = policy_find(name ? name : "default");

	if (!p) {
		kprint("policy=%s: there is none of that name (default, static, greedy)\n", name);
		return -EINVAL;
	}
	balance_policy_set(p);
	movers[BALANCE_ROLE] = &role_mover;
	roles_init();
	for (unsigned i = 0; i < cores_count; i++) {
		struct core *c = cores[i];

		if (!c)
			continue;
		c->look_at = NSEC_NEVER;
		if (!balance_is_possible())
			continue;
		c->desk = frames_boot_alloc(sizeof(*c->desk));
		c->desk->core = c;
		c->look_at = 0;
	}
	return 0;
}

/* ---- a core's look at itself ----------------------------------------------------------------- */

static void board_write(struct core *c)
{
	struct board *b = &c->desk->board;
	struct balance_unit units[BALANCE_UNITS];
	uint32_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed);
	unsigned n = 0;

	for (unsigned kind = 0; kind < BALANCE_ROLE; kind++) {
		unsigned first = n;

		if (movers[kind])
			n += movers[kind]->list(c, units + n, BALANCE_UNITS - n);
		for (; first < n; first++) {
			units[first].kind = kind;
			units[first].pad = 0;
		}
	}
	if (!n && !atomic_load_explicit(&b->count, memory_order_relaxed))
		return;
	/* odd, before any word; pairs with the reader's fence in board_read */
	atomic_store_explicit(&b->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&b->count, n, memory_order_relaxed);
	for (unsigned i = 0; i < n * UNIT_WORDS; i++)
		atomic_store_explicit(&b->words[i], ((const uint64_t *)units)[i],
				      memory_order_relaxed);
	/* even, after all of them; pairs with the reader's first load */
	atomic_store_explicit(&b->seq, seq + 2, memory_order_release);
}

/* Into `to`, at most `max`; 0 also when the owner is just writing. */
static unsigned board_read(struct board *b, struct balance_unit *to, unsigned max)
{
	uint32_t seq = atomic_load_explicit(&b->seq, memory_order_acquire);
	unsigned n = atomic_load_explicit(&b->count, memory_order_relaxed);

	if (!n || (seq & 1))
		return 0;
	n = min_of(n, max);
	for (unsigned i = 0; i < n * UNIT_WORDS; i++)
		((uint64_t *)to)[i] = atomic_load_explicit(&b->words[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&b->seq, memory_order_relaxed) == seq ? n : 0;
}

static void signals_write(struct core *c, nsec_t window)
{
	struct core_signals *s = &c->signals;
	uint64_t idle = c->count->spin_ns + c->count->sleep_ns, sqes = c->count->sqes;
	nsec_t idled = min_of(idle - c->idle_seen, window);

	word_set(s->busy, (uint16_t)(1000 - idled * 1000 / window));
	word_set(s->ops, (uint32_t)(sqes - c->sqes_seen));
	word_set(s->mails, (uint16_t)min_of(c->mails_deep, UINT16_MAX));
	word_set(s->stamp, c->now);
	c->idle_seen = idle;
	c->sqes_seen = sqes;
	c->mails_deep = 0;
}

/* ---- a pass ---------------------------------------------------------------------------------- */

static uint8_t roles_of(const struct core *c)
{
	uint32_t roles = __atomic_load_n(&c->roles, __ATOMIC_RELAXED);

	return (uint8_t)((core_is_leaving(c) ? BALANCE_LEAVING : 0) |
			 (roles & ROLE_SERVES ? BALANCE_SERVES : 0) |
			 (roles & ROLE_USER ? BALANCE_RUNS : 0) |
			 (roles & ROLE_ELASTIC ? BALANCE_ELASTIC : 0));
}

/* A core that has not looked at itself for two windows sleeps, or has been at one thing since:
 * a program, or a step that does not end. */
static void view_core(struct balance_core *to, const struct core *c, nsec_t now)
{
	const struct core_signals *s = &c->signals;
	nsec_t stamp = word_of(s->stamp), asleep_since = word_of(s->asleep_since);
	bool old = now > stamp + 2 * BALANCE_EVERY_NS;

	to->index = (uint8_t)c->index;
	to->roles = roles_of(c);
	to->busy = word_of(s->busy);
	to->ops = word_of(s->ops);
	if (old) {
		to->busy = asleep_since ? 0 : 1000;
		to->ops = asleep_since ? 0 : to->ops;
	}
	to->mails = word_of(s->mails);
	to->behind_ns = balance_age(word_of(s->behind_since), now);
	to->ready = (uint16_t)min_of(word_of(s->ready), UINT16_MAX);
	to->delay_ns = balance_age(word_of(s->ready_since), now);
}

static unsigned view_make(nsec_t now)
{
	unsigned n = 0, units = 0;

	for (unsigned i = 0; i < cores_count; i++) {
		struct core *c = cores[i];
		struct balance_core *to = &view[n];

		if (!c || !core_has_role(c, UINT32_MAX))
			continue;
		view_core(to, c, now);
		to->units = view_units + units;
		to->unit_count =
			board_read(&c->desk->board, view_units + units, VIEW_UNITS - units);
		units += to->unit_count;
		n++;
	}
	return n;
}

static const struct balance_core *view_find(unsigned cores_seen, unsigned index)
{
	for (unsigned i = 0; i < cores_seen; i++)
		if (view[i].index == index)
			return &view[i];
	return NULL;
}

/* May this be asked for at all? Whether the unit is still there, its core knows. */
static bool move_makes_sense(const struct balance_move *m, unsigned cores_seen)
{
	const struct balance_core *from = view_find(cores_seen, m->from);
	const struct balance_core *to = view_find(cores_seen, m->to);

	if (!from || m->kind >= BALANCE_KINDS || !movers[m->kind])
		return false;
	if (m->kind == BALANCE_ROLE)
		return (from->roles & BALANCE_ELASTIC) && !(from->roles & BALANCE_LEAVING) &&
		       !(from->roles & m->to) &&
		       (m->to == BALANCE_SERVES || m->to == BALANCE_RUNS);
	return to && to != from && m->id &&
	       (to->roles & (m->kind == BALANCE_RING ? BALANCE_SERVES : BALANCE_RUNS)) &&
	       !(to->roles & BALANCE_LEAVING);
}

static void move_trace(const struct balance_move *m, unsigned cores_seen, uint32_t refused)
{
	static const struct balance_core none;
	const struct balance_core *from = view_find(cores_seen, m->from);
	const struct balance_core *to = view_find(cores_seen, m->to);

	from = from ? from : &none;
	to = to ? to : &none;
	trace_event(TRACE_BALANCE,
		    m->kind | (uint32_t)m->from << 8 | (uint32_t)m->to << 16 | refused,
		    (uint32_t)m->id | (uint64_t)from->busy << 32 | (uint64_t)to->busy << 48,
		    from->behind_ns | (uint64_t)from->delay_ns << 32);
}

/* On the core that has the units. */
static void order_arrives(struct mail *mail)
{
	struct balance_desk *d = container_of(mail, struct balance_desk, mail);

	for (unsigned i = 0; i < d->count; i++) {
		const struct balance_move *m = &d->moves[i];

		if (movers[m->kind]->move(d->core, m->id, m->to)) {
			d->core->count->balance_refused++;
			continue;
		}
		d->core->count->balance_moves++;
		atomic_fetch_add_explicit(&moves_done[m->kind], 1, memory_order_relaxed);
	}
	d->count = 0;
	/* the desk is free; pairs with the load in order_give */
	atomic_store_explicit(&d->out, 0, memory_order_release);
}

/* False: its core has not done its last ones yet. */
static bool order_give(const struct balance_move *m)
{
	struct balance_desk *d = cores[m->from]->desk;

	if (atomic_load_explicit(&d->out, memory_order_acquire) || d->count == ORDER_MOVES)
		return false;
	d->moves[d->count++] = *m;
	return true;
}

static void orders_post(unsigned cores_seen)
{
	for (unsigned i = 0; i < cores_seen; i++) {
		struct balance_desk *d = cores[view[i].index]->desk;

		if (atomic_load_explicit(&d->out, memory_order_relaxed) || !d->count)
			continue;
		atomic_store_explicit(&d->out, 1, memory_order_relaxed);
		d->mail.deliver = order_arrives;
		mailbox_post(d->core->index, &d->mail);
	}
}

static void balance_pass(struct core *c)
{
	struct balance_move moves[BALANCE_MOVES];
	struct balance_view in = { .now = c->now, .cores = view };
	unsigned n, refused = 0;

	in.core_count = view_make(c->now);
	n = policy->pass(&state, &in, moves, BALANCE_MOVES);
	c->count->balance_passes++;
	if (likely(!n))
		return;
	if (n > BALANCE_MOVES) {
		refused = n - BALANCE_MOVES;
		n = BALANCE_MOVES;
	}
	for (unsigned i = 0; i < n; i++) {
		bool good = move_makes_sense(&moves[i], in.core_count) && order_give(&moves[i]);

		refused += !good;
		move_trace(&moves[i], in.core_count, good ? 0 : TRACE_REFUSED);
	}
	c->count->balance_refused += refused;
	orders_post(in.core_count);
}

void balance_look(struct core *c)
{
	nsec_t window = c->now - c->signals.stamp, behind = c->signals.behind_since;
	bool urgent = behind && c->now - behind >= BALANCE_AGE_NS;

	if (window < LOOK_MIN_NS) {
		c->look_at = c->signals.stamp + LOOK_MIN_NS;
		return;
	}
	c->look_at = c->now + BALANCE_EVERY_NS;
	if (c->roles & ROLE_ELASTIC)
		roles_look(c);
	signals_write(c, window);
	board_write(c);
	if (!urgent && c->now < atomic_load_explicit(&pass_at, memory_order_relaxed))
		return;
	/* One decides; pairs with the store below. */
	if (atomic_exchange_explicit(&deciding, 1, memory_order_acquire))
		return;
	atomic_store_explicit(&pass_at, c->now + BALANCE_EVERY_NS, memory_order_relaxed);
	balance_pass(c);
	atomic_store_explicit(&deciding, 0, memory_order_release);
}
