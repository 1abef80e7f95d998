/*
 * policy: the three that come with the kernel. See policy.h; docs/balancer.md says why the default
 * is as it is. Pure: no kernel state, any core, one caller at a time.
 *
 * default, each pass:
 *   rings:   the core most behind or busiest, if that is too much --> the least busy one, if that
 *            helps by GAIN: the ring that leaves the smaller of the two busiest
 *   ops:     no ring to move, one core is as good as full and another has little to do: what waits
 *            there and computes long, half of it, if that is worth WORK
 *   threads: the core where a thread has waited DELAY --> one with two runnable threads less; one
 *            with none, already for AGE
 *   roles:   all that serve are full, and have a ring to share: one more serves, whether programs
 *            wait or not, since most wait for them by looking; programs wait everywhere, and one
 *            server less would do: one less. A change that is soon taken back comes later next time
 * Who took part in a move is left alone until its signals tell of the time after it (SETTLE). What
 * has moved stays for COOL, twice as long each time it was not enough.
 */
#include "cores/policy.h"

#include <string.h>

#include "base/counters.h"

#define HOT 900u	 /* permille: a core with so much to do is full */
#define GAIN 150u	 /* permille of a core: what a move must be worth */
#define GAP 300u	 /* or so far apart are two cores, and it brings them nearer, by LEAST */
#define LEAST 20u
#define FITS 700u	 /* permille: as full may the cores be that are left to serve */
#define AGE_NS 10000u /* an entry that waits so long waits too long; a thread, where a core idles */
#define DELAY_NS 100000u /* and a thread where none does */
#define SETTLE_NS 120000u
#define COOL_NS 1000000u
#define WORK_NS 20000u	 /* operations that would compute so long together are worth a move */
#define GIVEN_NS 150000u /* what a core was given explains its windows for so long afterwards */
#define STRIKES_MAX 10u
#define BUSY_NEVER 1001u
#define ROLE_WISH_NS 100000u /* a role is changed for what has lasted so long */
#define ROLE_COOL_NS 1000000u
#define ROLE_TRIAL 8ull	       /* a change that is taken back within so many of these was wrong */

/* ---- what both moving policies ask ----------------------------------------------------------- */

static bool takes(const struct balance_core *c, uint32_t role)
{
	return (c->roles & role) && !(c->roles & BALANCE_LEAVING);
}

/* How busy the busier of the two is when `u` has moved. */
static uint32_t busy_after(const struct balance_core *from, const struct balance_core *to,
			   const struct balance_unit *u)
{
	uint32_t work =
		from->window.ops
			? (uint32_t)((uint64_t)from->window.busy * u->load / from->window.ops)
			: 0;

	return max_of(from->window.busy - min_of(work, (uint32_t)from->window.busy),
		      to->window.busy + work);
}

static uint32_t runnable(const struct balance_core *c)
{
	return c->ready + (c->window.busy >= 500);
}

static struct balance_move move_of(const struct balance_unit *u, const struct balance_core *from,
				   const struct balance_core *to)
{
	return (struct balance_move){ .id = u->id, .kind = (uint8_t)u->kind, .from = from->index,
				      .to = to->index };
}

/* ---- default --------------------------------------------------------------------------------- */

#define TRAIL 64u

struct calm {
	nsec_t settled[CORES_MAX]; /* the core takes part again from then on */
	nsec_t all_settled;	   /* and the last of them */
	nsec_t given_until[CORES_MAX]; /* it has operations of another core until then, roughly */
	struct moved {		   /* the last moves, each at its unit's place */
		uint64_t id;
		nsec_t until;
		uint32_t kind, strikes;
	} trail[TRAIL];
	/* roles: what has been wanted since when, and when the next change may come */
	uint64_t wish;
	nsec_t wish_since, role_settled;
	uint64_t last_role, role_strikes;
};
_Static_assert(sizeof(struct calm) <= sizeof(struct policy_state), "a state of its own");

/* One look at all cores. */
struct survey {
	/* of those that serve and take part: the one with most pressure, the one with least */
	const struct balance_core *hot, *cool;
	uint32_t pressure, cool_pressure;
	/* of those that run programs: the one with most to run of those where one has waited, the
	 * one with least */
	const struct balance_core *full, *free;
	uint32_t full_runs, free_runs; /* what is runnable there */
	/* roles */
	uint32_t servers, runners, busy_sum;
	bool all_full, any_behind, all_wait;
	const struct balance_core *could_serve, *could_run; /* elastic, with least to lose */
};

static struct calm *calm_of(struct policy_state *s)
{
	return (struct calm *)(void *)s->word;
}

static inline void survey_server(struct survey *s, const struct balance_core *c, bool part)
{
	uint32_t pressure = c->window.busy;

	s->servers++;
	s->busy_sum += pressure;
	if (c->behind_ns) { /* of two that are full, the one where entries wait longer */
		bool behind = c->behind_ns >= AGE_NS;

		pressure += (behind ? 1000u : 0) + (c->behind_ns >> 10);
		s->any_behind |= behind;
	}
	if (pressure < HOT)
		s->all_full = false;
	if ((c->roles & BALANCE_ELASTIC) &&
	    (!s->could_run || c->window.busy < s->could_run->window.busy))
		s->could_run = c;
	if (!part)
		return;
	if (pressure > s->pressure) {
		s->pressure = pressure;
		s->hot = c;
	}
	if (pressure < s->cool_pressure) {
		s->cool_pressure = pressure;
		s->cool = c;
	}
}

static inline void survey_runner(struct survey *s, const struct balance_core *c, bool part)
{
	bool waits = c->delay_ns >= AGE_NS;
	uint32_t runs;

	s->runners++;
	if (c->delay_ns < DELAY_NS)
		s->all_wait = false;
	if ((c->roles & BALANCE_ELASTIC) && (!s->could_serve || c->ready < s->could_serve->ready))
		s->could_serve = c;
	runs = runnable(c);
	/* what it says of its threads is of this moment, whatever it has just taken part in */
	if (waits && (!s->full || runs > s->full_runs)) {
		s->full_runs = runs;
		s->full = c;
	}
	if (part && runs < s->free_runs) {
		s->free_runs = runs;
		s->free = c;
	}
}

static inline void survey_make(struct survey *s, const struct calm *m,
			       const struct balance_view *in)
{
	const struct balance_core *c = in->cores, *end = c + in->core_count;
	bool all = in->now >= m->all_settled;

	*s = (struct survey){ .cool_pressure = UINT32_MAX, .free_runs = UINT32_MAX,
			      .all_full = true, .all_wait = true };
	for (; c < end; c++) {
		bool part = all || in->now >= m->settled[c->index];

		if (c->roles & BALANCE_LEAVING)
			continue;
		if (c->roles & BALANCE_SERVES)
			survey_server(s, c, part);
		else if (c->roles & BALANCE_RUNS)
			survey_runner(s, c, part);
	}
}

/* Where a move of the unit is remembered; two units may share the place, and the later one has it.
 */
static struct moved *moved_at(struct calm *m, const struct balance_unit *u)
{
	return &m->trail[(u->id ^ u->id >> 6 ^ u->kind) % TRAIL];
}

static bool is_same(const struct moved *was, const struct balance_unit *u)
{
	return was->id == u->id && was->kind == u->kind;
}

static bool is_cool(struct calm *m, const struct balance_unit *u, nsec_t now)
{
	const struct moved *was = moved_at(m, u);

	return !is_same(was, u) || now >= was->until;
}

static inline void note_move(struct calm *m, const struct balance_unit *u,
			     const struct balance_move *out, nsec_t now)
{
	struct moved *was = moved_at(m, u);
	uint32_t strikes = 0;

	if (is_same(was, u) && now - was->until < (8ull * COOL_NS) << was->strikes)
		strikes = min_of(was->strikes + 1, STRIKES_MAX);
	*was = (struct moved){ u->id, now + ((nsec_t)COOL_NS << strikes), u->kind, strikes };
	m->settled[out->from] = m->settled[out->to] = m->all_settled = now + SETTLE_NS;
}

static unsigned rings_of(const struct balance_core *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->unit_count; i++)
		n += c->units[i].kind == BALANCE_RING && c->units[i].load;
	return n;
}

/* Which ring leaves the smaller of the two busiest? NULL: none does by `enough`. The only ring with
 * work does not, whatever it seems to leave behind: what a core says of its window and what it says
 * of its rings may be of two windows, if the view was made in between. */
static const struct balance_unit *ring_for(struct calm *m, const struct survey *s, nsec_t now,
					   uint32_t enough)
{
	uint32_t least = s->hot->window.busy - min_of(enough, (uint32_t)s->hot->window.busy);
	const struct balance_unit *best = NULL;
	unsigned working = 0;

	for (unsigned i = 0; i < s->hot->unit_count; i++) {
		const struct balance_unit *u = &s->hot->units[i];
		uint32_t after;

		if (u->kind != BALANCE_RING || !u->load)
			continue;
		working++;
		if (!is_cool(m, u, now))
			continue;
		after = busy_after(s->hot, s->cool, u);
		if (after <= least) {
			least = after;
			best = u;
		}
	}
	return working > 1 ? best : NULL;
}

/* Both are full: no core gets less to do, but entries wait less if rings are spread. */
static const struct balance_unit *ring_to_spread(struct calm *m, const struct survey *s, nsec_t now)
{
	if (s->hot->behind_ns < 2 * s->cool->behind_ns || rings_of(s->hot) < rings_of(s->cool) + 2)
		return NULL;
	for (unsigned i = 0; i < s->hot->unit_count; i++) {
		const struct balance_unit *u = &s->hot->units[i];

		if (u->kind == BALANCE_RING && u->load && is_cool(m, u, now))
			return u;
	}
	return NULL;
}

/* The ring to move, if there is one. */
static bool calm_ring(struct calm *m, const struct survey *s, nsec_t now, struct balance_move *out)
{
	const struct balance_unit *u;
	uint32_t gap;

	if (s->pressure < HOT || s->hot == s->cool)
		return false;
	gap = s->hot->window.busy - min_of(s->cool->window.busy, s->hot->window.busy);
	if (gap < GAIN)
		u = s->hot->behind_ns >= AGE_NS ? ring_to_spread(m, s, now) : NULL;
	else /* many small ones: each is worth little, all of them much */
		u = ring_for(m, s, now, gap < GAP ? GAIN : LEAST);
	if (!u)
		return false;
	*out = move_of(u, s->hot, s->cool);
	note_move(m, u, out, now);
	return true;
}

/* Who could take operations from the one that is full: one with little to do, or that was given
 * some, which explains its windows, and must be through with them by now. NULL: nobody. */
static const struct balance_core *helper_for(const struct calm *m, const struct survey *s,
					     const struct balance_view *in)
{
	if (s->hot->window.busy >= s->cool->window.busy + GAP)
		return s->cool;
	for (unsigned i = 0; i < in->core_count; i++) {
		const struct balance_core *c = &in->cores[i];
		nsec_t until = m->given_until[c->index];

		if (c != s->hot && takes(c, BALANCE_SERVES) && in->now >= until &&
		    in->now - until < GIVEN_NS)
			return c;
	}
	return NULL;
}

/* Operations of a ring that cannot be split. Each goes once, so none comes back. */
static bool calm_ops(struct calm *m, const struct survey *s, const struct balance_view *in,
		     struct balance_move *out)
{
	const struct balance_core *helper;

	if (s->pressure < HOT)
		return false;
	for (unsigned i = 0; i < s->hot->unit_count; i++) {
		const struct balance_unit *u = &s->hot->units[i];

		if (u->kind != BALANCE_OP || u->work_ns < WORK_NS)
			continue;
		helper = helper_for(m, s, in);
		if (!helper)
			return false;
		*out = move_of(u, s->hot, helper);
		m->given_until[helper->index] = in->now + u->work_ns / 2;
		return true;
	}
	return false;
}

static bool calm_thread(struct calm *m, const struct survey *s, nsec_t now,
			struct balance_move *out)
{
	const struct balance_unit *best = NULL;

	if (!s->full || !s->free || s->full_runs < s->free_runs + 2 ||
	    (s->free_runs && s->full->delay_ns < DELAY_NS))
		return false;
	for (unsigned i = 0; i < s->full->unit_count; i++) {
		const struct balance_unit *u = &s->full->units[i];

		if (u->kind == BALANCE_THREAD && u->age_ns && is_cool(m, u, now) &&
		    (!best || u->age_ns > best->age_ns))
			best = u;
	}
	if (!best)
		return false;
	*out = move_of(best, s->full, s->free);
	note_move(m, best, out, now);
	return true;
}

/* Is there a ring that one more server would have for itself? */
static bool has_spare_ring(const struct balance_view *in)
{
	for (unsigned i = 0; i < in->core_count; i++)
		if (rings_of(&in->cores[i]) > 1)
			return true;
	return false;
}

static bool calm_role(struct calm *m, const struct survey *s, const struct balance_view *in,
		      struct balance_move *out)
{
	const struct balance_core *who = NULL;
	uint32_t wish = 0;

	if (s->could_serve && s->runners > 1 && s->all_full && has_spare_ring(in)) {
		wish = BALANCE_SERVES;
		who = s->could_serve;
	} else if (s->could_run && s->servers > 1 && s->all_wait && !s->any_behind &&
		   s->busy_sum <= FITS * (s->servers - 1)) {
		wish = BALANCE_RUNS;
		who = s->could_run;
	}
	if (wish != m->wish) {
		m->wish = wish;
		m->wish_since = in->now;
	}
	if (!wish || in->now - m->wish_since < ROLE_WISH_NS || in->now < m->role_settled)
		return false;
	*out = (struct balance_move){ .kind = BALANCE_ROLE, .from = who->index,
				      .to = (uint8_t)wish };
	m->wish = 0;
	/* back again, and so soon: what the change was for it did not bring */
	if (m->last_role && wish != m->last_role &&
	    in->now - m->role_settled < (ROLE_TRIAL * ROLE_COOL_NS) << m->role_strikes)
		m->role_strikes = min_of(m->role_strikes + 1, STRIKES_MAX);
	else
		m->role_strikes = 0;
	m->last_role = wish;
	m->role_settled = in->now + ((nsec_t)ROLE_COOL_NS << m->role_strikes);
	return true;
}

static unsigned calm_pass(struct policy_state *state, const struct balance_view *in,
			  struct balance_move *out, unsigned max)
{
	struct calm *m = calm_of(state);
	struct survey s;
	unsigned n = 0;

	survey_make(&s, m, in);
	if (n < max && (calm_ring(m, &s, in->now, &out[n]) || calm_ops(m, &s, in, &out[n])))
		n++;
	if (n < max && calm_thread(m, &s, in->now, &out[n]))
		n++;
	if (!n && max && calm_role(m, &s, in, &out[0]))
		n++;
	return n;
}

static void calm_reset(struct policy_state *s)
{
	memset(s, 0, sizeof(*s));
}

const struct policy policy_default = { "default", FITS, calm_reset, calm_pass };

/* ---- static ---------------------------------------------------------------------------------- */

static unsigned static_pass(struct policy_state *s, const struct balance_view *in,
			    struct balance_move *out, unsigned max)
{
	(void)s, (void)in, (void)out, (void)max;
	return 0;
}

const struct policy policy_static = { "static", BUSY_NEVER, NULL, static_pass };

/* ---- greedy ---------------------------------------------------------------------------------- */

/* One unit from the core with most to the one with least, whenever that lowers the higher of both:
 * no memory, no margin. It shows what these are for. */
static unsigned greedy_kind(const struct balance_view *in, uint32_t kind, struct balance_move *out)
{
	bool thread = kind == BALANCE_THREAD;
	uint32_t role = thread ? BALANCE_RUNS : BALANCE_SERVES;
	const struct balance_core *most = NULL, *least = NULL;

	for (unsigned i = 0; i < in->core_count; i++) {
		const struct balance_core *c = &in->cores[i];

		if (!takes(c, role))
			continue;
		if (!most ||
		    (thread ? runnable(c) > runnable(most) : c->window.busy > most->window.busy))
			most = c;
		if (!least ||
		    (thread ? runnable(c) < runnable(least) : c->window.busy < least->window.busy))
			least = c;
	}
	if (!most || most == least)
		return 0;
	for (unsigned i = 0; i < most->unit_count; i++) {
		const struct balance_unit *u = &most->units[i];

		if (u->kind != kind || !u->load)
			continue;
		if (kind == BALANCE_RING && busy_after(most, least, u) >= most->window.busy)
			continue;
		if (thread && (!u->age_ns || runnable(most) <= runnable(least)))
			continue;
		if (kind == BALANCE_OP && most->window.busy <= least->window.busy)
			continue;
		*out = move_of(u, most, least);
		return 1;
	}
	return 0;
}

static unsigned greedy_pass(struct policy_state *s, const struct balance_view *in,
			    struct balance_move *out, unsigned max)
{
	unsigned n = 0;

	(void)s;
	if (n < max)
		n += greedy_kind(in, BALANCE_RING, &out[n]);
	if (n < max)
		n += greedy_kind(in, BALANCE_THREAD, &out[n]);
	if (n < max)
		n += greedy_kind(in, BALANCE_OP, &out[n]);
	return n;
}

const struct policy policy_greedy = { "greedy", 0, NULL, greedy_pass };

/* ---- by name --------------------------------------------------------------------------------- */

const struct policy *policy_find(const char *name)
{
	static const struct policy *const known[] = { &policy_default, &policy_static,
						      &policy_greedy };

	for (unsigned i = 0; i < array_count(known); i++)
		if (!strcmp(name, known[i]->name))
			return known[i];
	return NULL;
}
