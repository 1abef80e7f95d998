/*
 * trace: one ring of typed 32-byte records per core, newest overwrite oldest, for the text dump,
 * the panic epitaph and scripts/trace.py (docs/trace.md). Written by the owning core only; a reader
 * of another core's ring may see a torn newest record, which the dump tolerates by skipping the
 * slot being written.
 *
 * Hot-path events (a step, a dequeue) are recorded only while trace_detail is set (boot argument
 * `trace=on`), so that one load and a branch is all they cost otherwise. `trace=end` prints the
 * rings at the end as that does, and records no more than without.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include "base/types.h"

enum trace_kind {
	TRACE_NONE,
	/* a = opcode | state << 8 | verdict << 16 | TRACE_ON_FIBER, b = op address, c = user_data.
	 * Written before a first step (verdict: again) and after every one, with the op's state
	 * then. */
	TRACE_STEP,
	TRACE_TAKE,	/* a = opcode | ring id << 8, b = op address, c = user_data */
	TRACE_COMPLETE, /* a = (u32)res, b = ring id | TRACE_MORE, c = user_data */
	/* an op or its wake travels: a = target core, b = op address, c = user_data */
	TRACE_MAIL,
	TRACE_SLEEP,	/* c = deadline ns */
	TRACE_WAKE,	/* a = reason */
	TRACE_DOORBELL, /* a = target core */
	TRACE_FAULT,	/* a = access, b = pc, c = address */
	TRACE_DEVICE,	/* a = device event, b, c = device specific */
	TRACE_PROC,	/* a = event (spawn, exit, kill), b = pid, c = status */
	TRACE_NET,	/* a = event, b, c */
	TRACE_COUNT,	/* a = enum trace_count, b, c = its value */
	/* a decision (cores/balance.h): a = kind | from << 8 | to << 16 | TRACE_REFUSED, b = id |
	 * permille busy of from << 32 | of to << 48, c = ns that from's rings are behind | ns that
	 * its threads wait << 32; of operations: ns that those would compute which could go */
	TRACE_BALANCE,
	/* a thread came to this core: a = parked, b = its address, c = core it left */
	TRACE_THREAD,
	TRACE_ROLE, /* an elastic core has settled: a = its roles */
	/* a ring leaves for a core, or has come: a = that core, b = ring id, c = ops in flight */
	TRACE_RING,
	TRACE_KINDS
};

/* Values that are sampled while operations are recorded. */
enum trace_count {
	COUNT_BUSY,   /* of the core: b = busy ns since the last sample, c = time ns of this one */
	COUNT_FRAMES, /* of the machine: b = free frames; when they have changed */
	COUNT_RING,   /* a batch ends: b = ring id, c = entries taken | entries left << 32 */
};
#define COUNT_EVERY_NS 50000 /* the first two, on each core, at most; and at every sleep */

struct trace_rec {
	uint64_t ns;
	uint32_t a;
	uint16_t kind;
	uint16_t core;
	uint64_t b, c;
};

#define TRACE_ON_FIBER (1u << 24)
#define TRACE_REFUSED (1u << 24) /* nonsense: counted, and nothing else */
#define TRACE_MORE (1ull << 32) /* a CQE of an op that goes on */

/* Slots per core, a power of two: boot argument trace_slots. */
#define TRACE_SLOTS 1024
#define TRACE_SLOTS_MIN 64
#define TRACE_SLOTS_MAX 65536

struct trace_ring {
	/* owner core only */
	uint64_t next;
	/* set once at boot */
	uint64_t mask;
	struct trace_rec rec[];
};

static inline size_t trace_ring_size(uint64_t slots)
{
	return sizeof(struct trace_ring) + slots * sizeof(struct trace_rec);
}

extern bool trace_detail; /* set once at boot */
extern bool trace_at_end; /* the rings are printed at the end; set once at boot */

/* Gives core `index` its ring of `slots` slots (a power of two); called once per core at boot with
 * memory of trace_ring_size(slots) bytes that lives for ever. */
void trace_init_core(unsigned index, struct trace_ring *ring, uint64_t slots);

/* Records one event on the calling core. Never parks, never fails; dropped before
 * trace_init_core. */
void trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c);

#define trace_hot(kind, a, b, c)                                                                   \
	do {                                                                                       \
		if (unlikely(trace_detail))                                                        \
			trace_event(kind, a, b, c);                                                \
	} while (0)

/* Text dump of the newest `count` records of every core, merged by time, through `line`. */
void trace_dump(unsigned count, void (*line)(const char *text));

/* Prints lines with the names of cores and operations; the floors that know them set it once at
 * boot. */
extern void (*trace_names)(void (*line)(const char *text));

/* Everything in the rings through `line`, in the form that scripts/trace.py reads (docs/trace.md).
 * Ends all recording first: for the end of a run. Any core, once. */
void trace_export(void (*line)(const char *text));

#endif
