/*
 * trace: one ring of typed 32-byte records per core, newest overwrite oldest, for the text dump,
 * the panic epitaph and (later) Perfetto. Written by the owning core only; a reader of another
 * core's ring may see a torn newest record, which the dump tolerates by skipping the slot being
 * written.
 *
 * Hot-path events (a step, a dequeue) are recorded only while trace_detail is set (boot argument
 * `trace=on`), so that one load and a branch is all they cost otherwise.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include "base/types.h"

enum trace_kind {
	TRACE_NONE,
	TRACE_STEP,	/* a = opcode | state << 8 | verdict << 16, b = op address, c = user_data */
	TRACE_TAKE,	/* a = opcode, b = ring id, c = user_data */
	TRACE_COMPLETE, /* a = (u32)res, b = ring id, c = user_data */
	TRACE_MAIL,	/* a = target core, b = mail address */
	TRACE_SLEEP,	/* c = deadline ns */
	TRACE_WAKE,	/* a = reason */
	TRACE_DOORBELL, /* a = target core */
	TRACE_FAULT,	/* a = access, b = pc, c = address */
	TRACE_DEVICE,	/* a = device event, b, c = device specific */
	TRACE_PROC,	/* a = event (spawn, exit, kill), b = pid, c = status */
	TRACE_NET,	/* a = event, b, c */
	TRACE_KINDS
};

struct trace_rec {
	uint64_t ns;
	uint32_t a;
	uint16_t kind;
	uint16_t core;
	uint64_t b, c;
};

#define TRACE_SLOTS 1024 /* per core, power of two */

struct trace_ring {
	/* owner core only */
	uint64_t next;
	struct trace_rec rec[TRACE_SLOTS];
};

extern bool trace_detail; /* set once at boot */

/* Gives core `index` its ring; called once per core at boot with memory that lives for ever. */
void trace_init_core(unsigned index, struct trace_ring *ring);

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

#endif
