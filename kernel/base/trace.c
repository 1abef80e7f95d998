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

bool trace_detail, trace_at_end;
void (*trace_names)(void (*line)(const char *text));

/* set once at boot, index = core index; taken away by trace_export */
static struct trace_ring *trace_rings[CORES_MAX];

static const struct {
	const char *name, *a, *b, *c;
} kind_words[TRACE_KINDS] = {
	[TRACE_NONE] = { "none", "a", "b", "c" },
	[TRACE_STEP] = { "step", "what", "op", "user_data" },
	[TRACE_TAKE] = { "take", "what", "op", "user_data" },
	[TRACE_COMPLETE] = { "complete", "res", "ring", "user_data" },
	[TRACE_MAIL] = { "mail", "core", "op", "user_data" },
	[TRACE_SLEEP] = { "sleep", "a", "b", "deadline" },
	[TRACE_WAKE] = { "wake", "reason", "b", "c" },
	[TRACE_DOORBELL] = { "doorbell", "core", "b", "c" },
	[TRACE_FAULT] = { "fault", "access", "pc", "addr" },
	[TRACE_DEVICE] = { "device", "event", "b", "c" },
	[TRACE_PROC] = { "proc", "event", "pid", "status" },
	[TRACE_THREAD] = { "thread", "parked", "thread", "from" },
	[TRACE_NET] = { "net", "event", "b", "c" },
	[TRACE_COUNT] = { "count", "what", "b", "c" },
	[TRACE_BALANCE] = { "balance", "move", "busy_id", "waits" },
	[TRACE_ROLE] = { "role", "roles", "b", "c" },
	[TRACE_RING] = { "ring", "core", "ring", "in_flight" },
};

void trace_init_core(unsigned index, struct trace_ring *ring, uint64_t slots)
{
	if (index >= CORES_MAX)
		return;
	ring->next = 0;
	ring->mask = slots - 1;
	__atomic_store_n(&trace_rings[index], ring, __ATOMIC_RELEASE);
}

void trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c)
{
	/* both calls first: less has to outlive them */
	nsec_t now = base_time_ns();
	unsigned me = base_core_index();
	struct trace_ring *ring = __atomic_load_n(&trace_rings[me], __ATOMIC_RELAXED);

	if (!ring)
		return;
	ring->rec[ring->next & ring->mask] = (struct trace_rec){
		.ns = now,
		.a = a,
		.kind = (uint16_t)kind,
		.core = (uint16_t)me,
		.b = b,
		.c = c,
	};
	/* pairs with the acquire in trace_count: a counted record is whole */
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

/* How many records the ring has seen; pairs with the release in trace_event. */
static uint64_t trace_count(const struct trace_ring *ring)
{
	return ring ? __atomic_load_n(&ring->next, __ATOMIC_ACQUIRE) : 0;
}

/* How many of them are still there: all slots but the one that may be in writing. */
static uint64_t trace_kept(const struct trace_ring *ring, uint64_t count)
{
	return ring ? min_of(count, ring->mask) : 0;
}

void trace_dump(unsigned count, void (*line)(const char *text))
{
	uint64_t at[CORES_MAX], end[CORES_MAX];

	for (unsigned i = 0; i < CORES_MAX; i++) {
		end[i] = trace_count(trace_rings[i]);
		at[i] = end[i] - min_of(trace_kept(trace_rings[i], end[i]), (uint64_t)count);
	}
	for (;;) {
		const struct trace_rec *oldest = NULL;
		unsigned from = 0;

		for (unsigned i = 0; i < CORES_MAX; i++) {
			const struct trace_rec *rec;

			if (at[i] == end[i])
				continue;
			rec = &trace_rings[i]->rec[at[i] & trace_rings[i]->mask];
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

/* One core's records, oldest first. The semicolon at the end tells a whole line from a cut one. */
static uint64_t export_core(unsigned index, const struct trace_ring *ring,
			    void (*line)(const char *text))
{
	uint64_t end = trace_count(ring), kept = trace_kept(ring, end);
	char text[128];

	snprintf(text, sizeof(text), "trace: ring %u kept %llu lost %llu", index,
		 (unsigned long long)kept, (unsigned long long)(end - kept));
	line(text);
	for (uint64_t at = end - kept; at != end; at++) {
		const struct trace_rec *rec = &ring->rec[at & ring->mask];

		snprintf(text, sizeof(text), "t %x %x %llx %x %llx %llx;", index, rec->kind,
			 (unsigned long long)rec->ns, rec->a, (unsigned long long)rec->b,
			 (unsigned long long)rec->c);
		line(text);
	}
	return kept;
}

void trace_export(void (*line)(const char *text))
{
	uint64_t total = 0;
	char text[64];

	line("trace: begin");
	for (unsigned i = 1; i < TRACE_KINDS; i++) {
		snprintf(text, sizeof(text), "trace: kind %u %s", i, kind_words[i].name);
		line(text);
	}
	if (trace_names)
		trace_names(line);
	/* A core that is in the middle of a record finishes it: trace_kept leaves its slot out. */
	for (unsigned i = 0; i < CORES_MAX; i++) {
		struct trace_ring *ring =
			__atomic_exchange_n(&trace_rings[i], NULL, __ATOMIC_ACQ_REL);

		if (ring)
			total += export_core(i, ring, line);
	}
	snprintf(text, sizeof(text), "trace: end %llu", (unsigned long long)total);
	line(text);
}
