/*
 * trace: per-core rings of typed records and their text dump.
 *
 * Each ring is written by its core only. The dump reads foreign rings without stopping their
 * cores: it leaves out the slot that may be in writing, and a record overwritten while it is read
 * shows as a record out of order, never as a bad access.
 */
#include "base/trace.h"

#include <assert.h>
#include <stdio.h>

#include "base/counters.h"
#include "base/machine.h"

static_assert(sizeof(struct trace_rec) == 32, "four records in two cache lines");
static_assert((TRACE_SLOTS & (TRACE_SLOTS - 1)) == 0, "a power of two");

bool trace_detail;

/* set once at boot, index = core index */
static struct trace_ring *trace_rings[CORES_MAX];

static const struct {
	const char *name, *a, *b, *c;
} kind_words[TRACE_KINDS] = {
	[TRACE_NONE] = { "none", "a", "b", "c" },
	[TRACE_STEP] = { "step", "what", "op", "user_data" },
	[TRACE_TAKE] = { "take", "opcode", "ring", "user_data" },
	[TRACE_COMPLETE] = { "complete", "res", "ring", "user_data" },
	[TRACE_MAIL] = { "mail", "core", "mail", "c" },
	[TRACE_SLEEP] = { "sleep", "a", "b", "deadline" },
	[TRACE_WAKE] = { "wake", "reason", "b", "c" },
	[TRACE_DOORBELL] = { "doorbell", "core", "b", "c" },
	[TRACE_FAULT] = { "fault", "access", "pc", "addr" },
	[TRACE_DEVICE] = { "device", "event", "b", "c" },
	[TRACE_PROC] = { "proc", "event", "pid", "status" },
	[TRACE_NET] = { "net", "event", "b", "c" },
};

void trace_init_core(unsigned index, struct trace_ring *ring)
{
	if (index >= CORES_MAX)
		return;
	ring->next = 0;
	__atomic_store_n(&trace_rings[index], ring, __ATOMIC_RELEASE);
}

void trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c)
{
	unsigned me = base_core_index();
	struct trace_ring *ring = trace_rings[me];
	struct trace_rec *rec;

	if (!ring)
		return;
	rec = &ring->rec[ring->next & (TRACE_SLOTS - 1)];
	*rec = (struct trace_rec){
		.ns = base_time_ns(),
		.a = a,
		.kind = (uint16_t)kind,
		.core = (uint16_t)me,
		.b = b,
		.c = c,
	};
	/* pairs with the acquire in trace_dump: a counted record is whole */
	__atomic_store_n(&ring->next, ring->next + 1, __ATOMIC_RELEASE);
}

static void dump_record(const struct trace_rec *rec, void (*line)(const char *text))
{
	unsigned kind = rec->kind < TRACE_KINDS ? rec->kind : TRACE_NONE;
	char text[160];

	snprintf(text, sizeof(text), "%5llu.%06llu core %u %-8s %s=%lld %s=0x%llx %s=0x%llx",
		 (unsigned long long)(rec->ns / 1000000000),
		 (unsigned long long)(rec->ns / 1000 % 1000000), rec->core, kind_words[kind].name,
		 kind_words[kind].a, (long long)(int32_t)rec->a, kind_words[kind].b,
		 (unsigned long long)rec->b, kind_words[kind].c, (unsigned long long)rec->c);
	line(text);
}

void trace_dump(unsigned count, void (*line)(const char *text))
{
	uint64_t at[CORES_MAX], end[CORES_MAX];

	for (unsigned i = 0; i < CORES_MAX; i++) {
		/* pairs with the release in trace_event */
		end[i] = trace_rings[i] ? __atomic_load_n(&trace_rings[i]->next, __ATOMIC_ACQUIRE)
					: 0;
		at[i] = end[i] - min_of(end[i], min_of((uint64_t)count, TRACE_SLOTS - 1ull));
	}
	for (;;) {
		const struct trace_rec *oldest = NULL;
		unsigned from = 0;

		for (unsigned i = 0; i < CORES_MAX; i++) {
			const struct trace_rec *rec;

			if (at[i] == end[i])
				continue;
			rec = &trace_rings[i]->rec[at[i] & (TRACE_SLOTS - 1)];
			if (!oldest || rec->ns < oldest->ns) {
				oldest = rec;
				from = i;
			}
		}
		if (!oldest)
			return;
		dump_record(oldest, line);
		at[from]++;
	}
}
