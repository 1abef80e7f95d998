/*
 * roles: how an elastic core changes between running programs and serving rings. Everything it
 * needs for either is there from boot; what changes is what others give it.
 *
 *   RUNS --role_move--> leaving: threads go to cores that run --none left--> SERVES
 *   SERVES --role_move--> leaving: rings go to cores that serve --none left--> RUNS
 *   leaving, after DRAIN_NS_MAX: it stays what it was
 *
 * A leaving core is given nothing of either kind, and goes on with what it still has. The core's
 * own code changes its roles; others read them. There is always one core left that runs programs:
 * who would be the last refuses; and one that serves, since every map has one that is not elastic.
 * A ring or a thread that comes to a core which has just turned away from its kind is sent on.
 */
#include "cores/balance.h"

#include "base/panic.h"
#include "base/trace.h"
#include "uapi/errno.h"

#define DRAIN_NS_MAX 20000000u

/* cores that run programs and are not leaving; any core, atomic */
static _Atomic uint32_t runners;

/* Its roles or what it leaves for have changed: as a policy is told. Nobody polls rings where
 * programs run as well. */
static void role_tell(struct core *c)
{
	uint8_t told = 0;

	if (c->roles & ROLE_USER)
		told |= BALANCE_RUNS;
	else if (c->roles & ROLE_SERVES)
		told |= BALANCE_SERVES;
	if (c->roles & ROLE_ELASTIC)
		told |= BALANCE_ELASTIC;
	if (c->role_next)
		told |= BALANCE_LEAVING;
	c->signals.index = (uint8_t)c->index;
	__atomic_store_n(&c->signals.told, told, __ATOMIC_RELAXED);
}

void roles_init(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < cores_count; i++) {
		if (!cores[i])
			continue;
		n += (cores[i]->roles & ROLE_USER) != 0;
		role_tell(cores[i]);
	}
	atomic_store_explicit(&runners, n, memory_order_relaxed);
}

void role_lost(struct core *c)
{
	if (core_has_role(c, ROLE_USER))
		atomic_fetch_sub_explicit(&runners, 1, memory_order_relaxed);
	__atomic_store_n(&c->roles, 0, __ATOMIC_RELAXED);
	role_tell(c);
}

/* One runner less, unless it is the last. */
static bool runners_take(void)
{
	uint32_t n = atomic_load_explicit(&runners, memory_order_relaxed);

	do
		if (n < 2)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&runners, &n, n - 1, memory_order_relaxed,
						      memory_order_relaxed));
	return true;
}

static void leaving_set(struct core *c, uint32_t next)
{
	__atomic_store_n(&c->role_next, next, __ATOMIC_RELAXED);
	role_tell(c);
}

static int role_move(struct core *c, uint64_t id, unsigned to)
{
	bool serves = to == BALANCE_SERVES;
	uint32_t next = serves ? ROLE_KERNEL : ROLE_USER;

	(void)id;
	if (!(c->roles & ROLE_ELASTIC) || (c->roles & next))
		return -EINVAL;
	if (!balance_mover(serves ? BALANCE_THREAD : BALANCE_RING))
		return -EBUSY; /* what it has could not leave */
	if (c->role_next || (serves && !runners_take()))
		return -EBUSY;
	leaving_set(c, next);
	c->leave_until = c->now + DRAIN_NS_MAX;
	c->look_at = c->now; /* begins at once */
	return 0;
}

static unsigned role_list(struct core *c, struct balance_unit *out, unsigned max)
{
	(void)c, (void)out, (void)max;
	return 0; /* the view has every core's role */
}

const struct balance_mover role_mover = { "roles", role_list, role_move };

/* To the next core, round robin, that takes its kind; not every core may suit it. */
static bool send_away(struct core *c, const struct balance_mover *m, uint64_t id, uint32_t role)
{
	unsigned last = c->drain_last;

	for (unsigned i = 1; i <= cores_count; i++) {
		struct core *to = cores[(last + i) % cores_count];

		int err = -EINVAL;

		if (to && to != c && core_takes(to, role))
			err = m->move(c, id, to->index);
		if (err == -EINVAL)
			continue; /* not there */
		if (!err)
			c->drain_last = to->index;
		return !err;
	}
	return false;
}

/* Sends away what it has of a kind it no longer takes. Returns how much there was. */
static unsigned drain(struct core *c, enum balance_kind kind, uint32_t role)
{
	struct balance_unit units[BALANCE_UNITS];
	const struct balance_mover *m = balance_mover(kind);
	unsigned n = m ? m->list(c, units, BALANCE_UNITS) : 0;

	for (unsigned i = 0; i < n; i++) /* who does not go now, at the next look */
		c->count->balance_moves += send_away(c, m, units[i].id, role);
	return n;
}

/* The last of its kind has gone, or the time is over. */
static void role_settle(struct core *c, uint32_t roles)
{
	bool runs = roles & ROLE_USER, ran = c->roles & ROLE_USER;

	if (runs && (!ran || c->role_next == ROLE_KERNEL))
		atomic_fetch_add_explicit(&runners, 1, memory_order_relaxed);
	__atomic_store_n(&c->roles, roles, __ATOMIC_RELAXED);
	leaving_set(c, 0);
	trace_event(TRACE_ROLE, roles, 0, 0);
}

void roles_look(struct core *c)
{
	bool threads = !(c->roles & ROLE_USER) || c->role_next == ROLE_KERNEL;
	bool rings = !(c->roles & ROLE_KERNEL) || c->role_next == ROLE_USER;
	unsigned left = 0;

	if (threads)
		left += drain(c, BALANCE_THREAD, ROLE_USER);
	if (rings)
		left += drain(c, BALANCE_RING, ROLE_KERNEL);
	if (!c->role_next)
		return;
	if (!left) {
		role_settle(c, ROLE_ELASTIC | c->role_next);
	} else if (c->now >= c->leave_until) {
		c->count->balance_refused++;
		role_settle(c, c->roles);
	}
}
