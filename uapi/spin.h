/*
 * spin: how long who has nothing to do goes on looking before he sleeps. The same estimate on both
 * sides of a ring: a core of the kernel, and a program's executor, each with one of its own.
 *
 * `max` is the bound, and what a sleep with its wake-up is reckoned to cost. The last waits are
 * kept as counts by length, in classes of max, max/2, max/4 ...; newer ones weigh more. Of the
 * budgets max, max/2 ... max/128 and 0 that one is taken which would have cost least for those
 * waits:
 *
 *   a wait within the budget costs its length; a longer one costs the budget and then `max`
 *
 * and the longest of equals. So who is given work soon keeps looking, who is not sleeps at once,
 * and after a burst nobody looks longer than the burst's waits were. Work that usually comes within
 * `max` is never slept through to save a little.
 *
 * Owner only. Time in any unit, the same everywhere.
 */
#ifndef UAPI_SPIN_H
#define UAPI_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_CLASSES                                                                               \
	9u /* 0: longer than max; k: at most max >> (k - 1); the last: all shorter ones */
#define SPIN_KEEP 64u	/* waits that count */
#define SPIN_EVERY 4u	/* waits between two choices */

struct spin {
	uint64_t max;
	uint64_t budget; /* at present */
	bool fixed;	 /* budget is max for ever */
	uint8_t total, unseen; /* waits counted; of these, since the last choice */
	uint8_t count[SPIN_CLASSES];
};

static inline void spin_init(struct spin *s, uint64_t max, bool fixed)
{
	*s = (struct spin){ .max = max, .budget = max, .fixed = fixed || !max };
}

/* What budget max >> (k - 1) would have cost, in max / 512, for each k in turn; the last k is no
 * budget at all. */
static inline void spin_choose(struct spin *s)
{
	uint32_t within = 0, beyond = s->count[0], best = UINT32_MAX;

	for (unsigned k = 1; k < SPIN_CLASSES; k++)
		within += s->count[k] * 3u * (256u >> k); /* three quarters of the class's bound */
	for (unsigned k = 1; k <= SPIN_CLASSES; k++) {
		uint32_t budget = 256u >> k, cost; /* of max / 128: 128 ... 1, 0 */

		cost = within + beyond * 4 * (budget + 128);
		if (cost < best) {
			best = cost;
			s->budget = k < SPIN_CLASSES ? s->max >> (k - 1) : 0;
		}
		if (k < SPIN_CLASSES) {
			within -= s->count[k] * 3u * (256u >> k);
			beyond += s->count[k];
		}
	}
}

/* Work came after a wait of `ns`. */
static inline void spin_waited(struct spin *s, uint64_t ns)
{
	unsigned class = SPIN_CLASSES - 1;

	if (s->fixed)
		return;
	while (class && ns > s->max >> (class - 1))
		class--;
	s->count[class]++;
	s->total++;
	/* a short wait is no reason to look less long */
	if ((class < SPIN_CLASSES - 1 || s->budget != s->max) && ++s->unseen >= SPIN_EVERY) {
		s->unseen = 0;
		spin_choose(s);
	}
	if (s->total < SPIN_KEEP)
		return;
	s->total = 0;
	for (unsigned i = 0; i < SPIN_CLASSES; i++)
		s->total = (uint8_t)(s->total + (s->count[i] /= 2));
}

#endif
