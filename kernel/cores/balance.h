/*
 * balance: what every core says of itself, who decides by it, and how a decision becomes a move.
 *
 *   each core, in a turn, every BALANCE_EVERY_NS: its signals, and a list of what could be moved
 *   whoever comes first when a pass is due (at once, when a ring is BALANCE_AGE_NS behind):
 *       view --> policy->pass --> moves --refused: counted
 *                                       --good: an order, by mail, to the core that has the unit
 *   that core: the mover of its kind does it, or refuses
 *
 * One pass at a time, by a flag: who finds it taken goes on with other work, nobody waits. A core
 * that sleeps is not woken to look at itself, and an idle machine makes no passes. With nothing to
 * decide (one core that serves, one that runs programs, none elastic) no core ever looks.
 *
 * What moves, and how, is the upper floors' business: they register a mover for their kind.
 */
#ifndef CORES_BALANCE_H
#define CORES_BALANCE_H

#include "cores/core.h"

#define BALANCE_EVERY_NS 50000u /* between two looks of a core at itself */
#define BALANCE_AGE_NS 10000u	/* a ring so far behind is looked at now */
#define BALANCE_UNITS 32u	/* a core says of at most so many what could be moved */
#define BALANCE_MOVES 8u	/* a pass may want at most so many */

/*
 * Registered once for a kind, at boot. Both are called on the core that has the units, in its turn,
 * and may not park.
 */
struct balance_mover {
	const char *name;
	/* What `c` has now, at most `max`, those with most load first if there are more; kind is
	 * filled by the caller, what says nothing of a kind is 0. Returns how many. */
	unsigned (*list)(struct core *c, struct balance_unit *out, unsigned max);
	/* 0: asked for, or done; -EBUSY: not now; -ENOENT: gone; -EINVAL: not there. */
	int (*move)(struct core *c, uint64_t id, unsigned to);
};
void balance_mover_set(enum balance_kind kind, const struct balance_mover *m);
const struct balance_mover *balance_mover(enum balance_kind kind);

/* Boot core, after the core map: reads the boot argument policy=. 0; a name that is none is
 * refused by a sentence, -EINVAL. */
must_use int balance_init(void);
/* The same object for tests and experiments, before any core runs. */
void balance_policy_set(const struct policy *p);
const struct policy *balance_policy(void);

/* The core's look at itself, and a pass if one is due. From its own turn, c->now being the time. */
void balance_look(struct core *c);

/* A ring of this core has been left behind since c->now: it looks again BALANCE_AGE_NS later. */
static inline void balance_behind(struct core *c)
{
	if (c->look_at != NSEC_NEVER)
		c->look_at = min_of(c->look_at, c->now + BALANCE_AGE_NS);
}

/* Threads wait on this core that runs programs, or no longer do. */
void balance_crowd_begins(void);
void balance_crowd_ends(void);
/* They do: it looks at itself at `at`, at the latest, if some other core has nothing to run; false:
 * none has. */
must_use bool balance_look_by(struct core *c, nsec_t at);
/* About to sleep, its signals saying since when: if threads wait elsewhere it takes a look for
 * them. */
void balance_offer(struct core *c);

/* For what waits since `since` (0: it does not), at most four seconds. */
static inline uint32_t balance_age(nsec_t since, nsec_t now)
{
	return since && now > since ? (uint32_t)min_of(now - since, (nsec_t)(UINT32_MAX - 1)) : 0;
}

/* Moves accepted so far, of each kind; any core. */
uint64_t balance_moves(enum balance_kind kind);

/* ---- roles.c: elastic cores */

extern const struct balance_mover role_mover;
/* Boot, after the core map. */
void roles_init(void);
/* An elastic core's look at what it must give away. From balance_look. */
void roles_look(struct core *c);

#endif
