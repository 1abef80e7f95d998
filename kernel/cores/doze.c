/*
 * doze: how long threads have waited in their own mode, which no trap tells: see struct core_doze.
 *
 * Counted by the core that ran the thread, when it comes back from user mode and the word has
 * changed (core_doze_count); who watches from elsewhere adds what was said since. A thread that is
 * interrupted while it waits, and lets others run, has not waited here meanwhile (core_doze_skip).
 */
#include "cores/core.h"

const int64_t core_doze_silent;

bool core_doze_count(struct core *c, struct core_doze *d)
{
	int64_t word = __atomic_load_n(d->word, __ATOMIC_RELAXED);
	nsec_t said = arch_user_dozed(word);

	/* a word that goes back is a large number here: at most the time there was */
	c->count->doze_ns += min_of(said - d->said, arch_time_ns() - c->now);
	d->said = said;
	d->seen = word < 0 ? -1 : word;
	return word < 0;
}

void core_doze_skip(struct core_doze *d)
{
	d->said = arch_user_dozed(__atomic_load_n(d->word, __ATOMIC_RELAXED));
	d->seen = -1; /* what it says next is counted */
}

/* Of the thread that is in user mode there; NULL: none, or one that says nothing. */
static const struct core_doze *doze_running(const struct core *c)
{
	const struct core_doze *d = __atomic_load_n(&c->doze, __ATOMIC_RELAXED);

	if (!d || __atomic_load_n(&c->signals.asleep_since, __ATOMIC_RELAXED) ||
	    !atomic_load_explicit(&c->away, memory_order_relaxed) ||
	    __atomic_load_n(&d->turn, __ATOMIC_RELAXED) !=
		    __atomic_load_n(&c->turn, __ATOMIC_RELAXED))
		return NULL;
	return d;
}

nsec_t core_dozed(const struct core *c, nsec_t now)
{
	const struct core_doze *d = doze_running(c);
	nsec_t counted = __atomic_load_n(&c->count->doze_ns, __ATOMIC_RELAXED), said, since;

	if (!d)
		return counted;
	said = arch_user_dozed(__atomic_load_n(d->word, __ATOMIC_RELAXED));
	since = now - min_of(now, __atomic_load_n(&c->now, __ATOMIC_RELAXED));
	return counted + min_of(said - __atomic_load_n(&d->said, __ATOMIC_RELAXED), since);
}

bool core_dozes(const struct core *c)
{
	const struct core_doze *d = doze_running(c);

	return d && __atomic_load_n(d->word, __ATOMIC_RELAXED) < 0;
}
