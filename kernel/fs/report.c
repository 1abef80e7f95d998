/*
 * report: the texts behind /dev/cores and /dev/rings: what every core does now and has done so far.
 *
 * The numbers belong to their cores, which write them for themselves, as plain words. They are read
 * here without asking: each may be a few events old, and two of one line need not be of the same
 * moment. Only the peaks are written here: set back, so that they tell of the time between two
 * reports.
 */
#include <stdarg.h>
#include <stdio.h>

#include "cores/core.h"
#include "fs/internal.h"
#include "sched/thread.h"

size_t (*fs_rings_text)(char *buf, size_t size);

struct text {
	char *buf;
	size_t size, len;
};

/* A whole line, or none when there is no room for it. */
static __attribute__((format(printf, 2, 3))) void text_line(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->buf + t->len, t->size - t->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= t->size - t->len)
		t->buf[t->len] = '\0';
	else
		t->len += (size_t)n;
}

#define word_of(x) ((unsigned long long)__atomic_load_n(&(x), __ATOMIC_RELAXED))

static const char *core_state(const struct core *c, nsec_t asleep_since)
{
	if (!c->roles)
		return "off"; /* its hart did not start */
	if (asleep_since)
		return "asleep";
	if (core_dozes(c))
		return "dozes";
	return atomic_load_explicit(&c->away, memory_order_relaxed) ? "user" : "kernel";
}

static void report_core(struct text *t, struct core *c, nsec_t now)
{
	const struct counters *n = c->count;
	nsec_t asleep_since = word_of(c->signals.asleep_since),
	       behind_since = word_of(c->signals.behind_since);
	nsec_t spin = word_of(n->spin_ns), sleep = word_of(n->sleep_ns);
	nsec_t up = now - min_of(now, (nsec_t)word_of(c->started));
	char roles[CORE_ROLES_TEXT];

	if (asleep_since)
		sleep += now - min_of(now, asleep_since);
	sleep += core_dozed(c, now);
	core_roles_text(c, roles);
	text_line(t,
		  "%u %s %s %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu "
		  "%llu %u %u %u %u %u %llu %llu\n",
		  (unsigned)c->index, roles[0] ? roles : "none", core_state(c, asleep_since),
		  (unsigned long long)now, (unsigned long long)(up - min_of(up, spin + sleep)),
		  (unsigned long long)spin, (unsigned long long)sleep,
		  word_of(n->turns_busy) + word_of(n->turns_idle), word_of(n->sqes),
		  word_of(n->cqes), word_of(n->steps), word_of(n->parks), word_of(n->user_traps),
		  word_of(n->page_faults), word_of(n->sleeps), word_of(n->waits),
		  word_of(n->doorbells), word_of(n->mails),
		  atomic_exchange_explicit(&c->mails_peak, 0, memory_order_relaxed),
		  ops_total_count(c) - min_of(ops_total_count(c), ops_free_count(c)),
		  ops_total_count(c),
		  atomic_exchange_explicit(&c->ops_peak, 0, memory_order_relaxed),
		  placement_ready_count(c),
		  behind_since ? (unsigned long long)(now - min_of(now, behind_since)) : 0,
		  word_of(n->balance_moves));
}

size_t report_cores(char *buf, size_t size)
{
	struct text t = { buf, size, 0 };
	nsec_t now = arch_time_ns();

	text_line(&t, "core role state time_ns busy_ns spin_ns sleep_ns turns sqes cqes steps "
		      "parks traps faults sleeps waits doorbells mails mails_peak ops ops_max "
		      "ops_peak threads behind_ns moves\n");
	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i])
			report_core(&t, cores[i], now);
	return t.len;
}

size_t report_rings(char *buf, size_t size)
{
	return fs_rings_text ? fs_rings_text(buf, size) : 0;
}
