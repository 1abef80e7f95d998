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
#define VIEW_UNITS 256u	  /* in one view; cores whose units are beyond give none in this pass */
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
	/* whoever decides: what threads had dozed there (doze.c) when it was looked at last */
	nsec_t dozed, dozed_at;
	uint16_t dozed_busy;
};

/* set once at boot */
static const struct balance_mover *movers[BALANCE_KINDS];
static const struct policy *policy = &policy_default;

/* any core, atomic */
static _Atomic uint32_t deciding;
static _Atomic nsec_t pass_at;
static _Atomic uint32_t crowds; /* cores on which threads wait */
static _Atomic uint64_t moves_done[BALANCE_KINDS];

/* whoever decides */
static struct policy_state state;
static struct balance_core view[CORES_MAX];
static struct balance_unit view_units[VIEW_UNITS];
static unsigned view_count; /* one at least: who decides */

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
		for (; first < n; first++)
			units[first].kind = kind;
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

/* Into `to`, all or, if they would go beyond `end`, none; 0 also when the owner is just writing. */
static unsigned board_read(struct board *b, struct balance_unit *to, const struct balance_unit *end)
{
	uint32_t seq = atomic_load_explicit(&b->seq, memory_order_acquire);
	unsigned n = atomic_load_explicit(&b->count, memory_order_relaxed);
	_Atomic uint64_t *from = b->words;

	if (!n || (seq & 1) || to + n > end)
		return 0;
	for (uint64_t *word = (uint64_t *)to; word < (uint64_t *)(to + n); word++)
		*word = atomic_load_explicit(from++, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&b->seq, memory_order_relaxed) == seq ? n : 0;
}

/* Where an entry has waited too long there was no idle moment since, however long the core slept
 * before. */
static void signals_write(struct core *c, nsec_t window, bool urgent)
{
	struct core_signals *s = &c->signals;
	uint64_t idle = c->count->spin_ns + c->count->sleep_ns + c->count->doze_ns;
	uint64_t sqes = c->count->sqes;
	uint64_t degrades = c->count->degrades;
	nsec_t idled = urgent ? 0 : min_of(idle - c->idle_seen, window);

	union {
		struct core_window window;
		uint64_t word;
	} now = { .window = { .busy = (uint16_t)(1000 - idled * 1000 / window),
			      .mails = (uint8_t)min_of(c->mails_deep, UINT8_MAX),
			      .over = (uint8_t)min_of(degrades - c->degrades_seen, UINT8_MAX),
			      .ops = (uint32_t)(sqes - c->sqes_seen) } };

	word_set(s->window_word, now.word);
	word_set(s->stamp, c->now);
	c->idle_seen = idle;
	c->sqes_seen = sqes;
	c->degrades_seen = degrades;
	c->mails_deep = 0;
}

/* ---- a pass ---------------------------------------------------------------------------------- */

/* A core that has not looked at itself for two windows sleeps, or has been at one thing since: a
 * step that does not end, or a program, which may wait in its own mode. */
static void view_stale(struct balance_core *to, struct core *c, nsec_t now)
{
	struct balance_desk *d = c->desk;
	nsec_t window, dozed;

	if (word_of(c->signals.asleep_since)) {
		to->window_word = 0;
		return;
	}
	window = now - min_of(now, d->dozed_at);
	if (window >= LOOK_MIN_NS) {
		dozed = core_dozed(c, now);
		d->dozed_busy = (uint16_t)(1000 - min_of(dozed - d->dozed, window) * 1000 / window);
		d->dozed = dozed;
		d->dozed_at = now;
	}
	to->window.busy = d->dozed_busy;
}

static void view_make(nsec_t now)
{
	struct balance_unit *units = view_units, *end = view_units + VIEW_UNITS;
	uint32_t units_from = policy->units_from;
	nsec_t stale = now - min_of(now, (nsec_t)(2 * BALANCE_EVERY_NS));
	struct balance_core *to = view;

	for (struct core **at = cores, **last = at + cores_count; at < last; at++) {
		const struct core_signals *s;
		nsec_t behind_since, ready_since;

		if (!*at)
			continue;
		s = &(*at)->signals;
		to->who_word = word_of(s->who_word);
		to->window_word = word_of(s->window_word);
		if (unlikely(word_of(s->stamp) < stale))
			view_stale(to, *at, now);
		behind_since = word_of(s->behind_since);
		ready_since = word_of(s->ready_since);
		to->behind_ns = to->delay_ns = 0;
		to->unit_count = 0;
		if (unlikely(to->window.busy >= units_from || (behind_since | ready_since))) {
			to->behind_ns = balance_age(behind_since, now);
			to->delay_ns = balance_age(ready_since, now);
			to->units = units;
			to->unit_count = board_read(&(*at)->desk->board, units, end);
			units += to->unit_count;
		}
		to++;
	}
	view_count = (unsigned)(to - view);
}

/* At its index, or before it by those that the view lacks. */
static inline const struct balance_core *view_find(unsigned index)
{
	const struct balance_core *c = view + min_of(index, view_count - 1);

	while (c->index > index && c > view)
		c--;
	return c->index == index ? c : NULL;
}

/* May this be asked for at all? Whether the unit is still there, its core knows. */
static inline bool move_makes_sense(const struct balance_move *m, const struct balance_core *from,
				    const struct balance_core *to)
{
	if (!from || !from->roles || m->kind >= BALANCE_KINDS || !movers[m->kind])
		return false;
	if (m->kind == BALANCE_ROLE)
		return (from->roles & BALANCE_ELASTIC) && !(from->roles & BALANCE_LEAVING) &&
		       !(from->roles & m->to) &&
		       (m->to == BALANCE_SERVES || m->to == BALANCE_RUNS);
	return to && to != from && m->id &&
	       (to->roles & (m->kind == BALANCE_THREAD ? BALANCE_RUNS : BALANCE_SERVES)) &&
	       !(to->roles & BALANCE_LEAVING);
}

/* What waits where the unit is: threads, or work that could be given away. */
static uint32_t move_waits(const struct balance_move *m, const struct balance_core *from)
{
	if (likely(m->kind != BALANCE_OP))
		return from->delay_ns;
	for (unsigned i = 0; i < from->unit_count; i++)
		if (from->units[i].kind == BALANCE_OP)
			return from->units[i].work_ns;
	return 0;
}

static void move_trace(const struct balance_move *m, const struct balance_core *from,
		       const struct balance_core *to, uint32_t refused)
{
	static const struct balance_core none;

	from = from ? from : &none;
	to = to ? to : &none;
	trace_event(TRACE_BALANCE,
		    m->kind | (uint32_t)m->from << 8 | (uint32_t)m->to << 16 | refused,
		    (uint32_t)m->id | (uint64_t)from->window.busy << 32 |
			    (uint64_t)to->window.busy << 48,
		    from->behind_ns | (uint64_t)move_waits(m, from) << 32);
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

/* What was given to a core goes out, all in one message. */
static void order_post(unsigned index)
{
	struct balance_desk *d = cores[index]->desk;

	if (atomic_load_explicit(&d->out, memory_order_relaxed) || !d->count)
		return;
	atomic_store_explicit(&d->out, 1, memory_order_relaxed);
	d->mail.deliver = order_arrives;
	mailbox_post(index, &d->mail);
}

static void balance_pass(struct core *c)
{
	struct balance_move moves[BALANCE_MOVES];
	struct balance_view in = { .now = c->now, .cores = view };
	unsigned n, refused = 0;
	uint32_t good_ones = 0;

	view_make(c->now);
	in.core_count = view_count;
	n = policy->pass(&state, &in, moves, BALANCE_MOVES);
	c->count->balance_passes++;
	if (likely(!n))
		return;
	if (n > BALANCE_MOVES) {
		refused = n - BALANCE_MOVES;
		n = BALANCE_MOVES;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct balance_core *from = view_find(moves[i].from);
		const struct balance_core *to = view_find(moves[i].to);
		bool good = move_makes_sense(&moves[i], from, to) && order_give(&moves[i]);

		if (good)
			good_ones |= 1u << i;
		else
			refused++;
		move_trace(&moves[i], from, to, good ? 0 : TRACE_REFUSED);
	}
	if (unlikely(refused))
		c->count->balance_refused += refused;
	for (const struct balance_move *m = moves; good_ones; good_ones >>= 1, m++)
		if (good_ones & 1)
			order_post(m->from);
}

static void balance_decide(struct core *c)
{
	/* One decides; pairs with the store below. */
	if (atomic_exchange_explicit(&deciding, 1, memory_order_acquire))
		return;
	atomic_store_explicit(&pass_at, c->now + BALANCE_EVERY_NS, memory_order_relaxed);
	balance_pass(c);
	atomic_store_explicit(&deciding, 0, memory_order_release);
}

void balance_look(struct core *c)
{
	nsec_t window = c->now - c->signals.stamp, behind = c->signals.behind_since;
	nsec_t waits = c->signals.ready_since;
	bool urgent = (behind && c->now - behind >= BALANCE_AGE_NS) ||
		      (waits && c->now - waits >= BALANCE_AGE_NS);

	if (window < LOOK_MIN_NS) {
		c->look_at = c->signals.stamp + LOOK_MIN_NS;
		return;
	}
	c->look_at = c->now + BALANCE_EVERY_NS;
	if (behind && c->now - behind < BALANCE_AGE_NS)
		c->look_at = min_of(c->look_at, behind + BALANCE_AGE_NS);
	if (c->roles & ROLE_ELASTIC)
		roles_look(c);
	signals_write(c, window, urgent);
	board_write(c);
	if (!urgent && c->now < atomic_load_explicit(&pass_at, memory_order_relaxed))
		return;
	balance_decide(c);
}

/* ---- crowds ---------------------------------------------------------------------------------- */

void balance_crowd_begins(void)
{
	atomic_fetch_add_explicit(&crowds, 1, memory_order_relaxed);
}

void balance_crowd_ends(void)
{
	atomic_fetch_sub_explicit(&crowds, 1, memory_order_relaxed);
}

/* It runs programs, and none now, as far as it has said. */
static bool runs_nothing(const struct core *c)
{
	const struct core_signals *s = &c->signals;

	return core_takes(c, ROLE_USER) && !word_of(s->ready) &&
	       (word_of(s->asleep_since) || word_of(s->window.busy) < 500);
}

bool balance_look_by(struct core *c, nsec_t at)
{
	if (c->look_at == NSEC_NEVER)
		return false;
	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i] && cores[i] != c && runs_nothing(cores[i])) {
			c->look_at = min_of(c->look_at, at);
			return true;
		}
	return false;
}

void balance_offer(struct core *c)
{
	if (likely(!atomic_load_explicit(&crowds, memory_order_relaxed)) || !c->desk ||
	    !core_takes(c, ROLE_USER))
		return;
	/* whatever it did in its last window is over */
	word_set(c->signals.window_word, 0);
	word_set(c->signals.stamp, c->now);
	balance_decide(c);
}
