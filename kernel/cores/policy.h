/*
 * policy: signals in, moves out. A policy is an object without locks, clocks, allocation or any
 * sight of the kernel: what it may know is in the view, what it remembers in its state, what it
 * wants is a list of moves. So the same object runs in the kernel, in the simulator and in a unit
 * test, and a wrong one can only be refused (balance.h). docs/balancer.md has one of 20 lines.
 *
 * Whoever calls `pass` holds the state; a call is bounded by cores x moves, and makes no others.
 */
#ifndef CORES_POLICY_H
#define CORES_POLICY_H

#include "base/types.h"

/* What can be moved. */
enum balance_kind {
	BALANCE_RING,   /* from a core that serves to another */
	BALANCE_THREAD, /* from a core that runs programs to another */
	/* operations that wait on a core that serves and would compute long: all of the core's are
	 * one unit, and a move of it gives half of the work to another */
	BALANCE_OP,
	/* an elastic core: `to` is not a core, but what it shall do, BALANCE_SERVES or
	 * BALANCE_RUNS */
	BALANCE_ROLE,
	BALANCE_KINDS
};

/* What a core does now; never both of the first two. */
#define BALANCE_SERVES 1u  /* rings */
#define BALANCE_RUNS 2u	   /* programs */
#define BALANCE_ELASTIC 4u /* one of the two, and it may change */
#define BALANCE_LEAVING 8u /* it is being drained: takes nothing new, whatever it still does */

/* A ring, a thread or waiting operations, as the core that has them saw them last. */
struct balance_unit {
	uint64_t id;   /* the mover's name for it, never 0 */
	uint32_t kind; /* enum balance_kind, never BALANCE_ROLE */
	/* ring: entries taken in the core's last window; thread: 1 if it would run; operations: how
	 * many */
	uint32_t load;
	uint32_t age_ns; /* how long its oldest entry, or it itself, has waited; 0: nothing waits */
	uint32_t work_ns; /* operations: how long all of them would compute, roughly */
};

/* What a core did in its last window: between its last two looks at itself. */
struct core_window {
	uint16_t busy;	/* permille of it in which turns found work, or a program ran */
	uint8_t mails;	/* most messages that one turn found; 255: or more */
	uint8_t over;	/* steps that were over their budget; 255: or more */
	uint32_t ops;	/* entries served */
};

struct balance_core {
	union {
		struct core_window window;
		uint64_t window_word;
	};
	union {
		struct {
			uint8_t index;
			uint8_t roles;	/* BALANCE_*; 0: its hart did not start */
			uint16_t ready; /* threads that wait for it, besides the one that runs */
		};
		uint32_t who_word;
	};
	uint32_t unit_count; /* 0 as well if the policy has no use for them: units_from */
	uint32_t behind_ns;  /* age of the oldest entry that a turn left behind; 0: none */
	uint32_t delay_ns; /* how long the thread that is next has waited for this core; 0: none */
	const struct balance_unit *units;
};

struct balance_view {
	nsec_t now;
	unsigned core_count;
	const struct balance_core *cores; /* in the order of their index; some indexes may lack */
};

struct balance_move {
	uint64_t id;   /* of the unit; BALANCE_ROLE: unused */
	uint8_t kind;  /* enum balance_kind */
	uint8_t from;  /* index of the core that has it, or that changes its role */
	uint8_t to;    /* index of the core that gets it; BALANCE_ROLE: BALANCE_SERVES or _RUNS */
};

/* What a policy remembers between two passes, as it likes; all zero after boot. */
struct policy_state {
	uint64_t word[512];
};

struct policy {
	const char *name; /* as the boot argument policy= has it */
	/* It is shown the units of cores that are so busy (permille), or where something waits. */
	uint32_t units_from;
	/* Makes a state new; NULL: all zero is new. */
	void (*reset)(struct policy_state *s);
	/* Writes at most `max` moves and returns how many. */
	unsigned (*pass)(struct policy_state *s, const struct balance_view *in,
			 struct balance_move *out, unsigned max);
};

/* Hysteresis, cost-aware, no ping-pong; never moves; whatever looks better, at once. */
extern const struct policy policy_default, policy_static, policy_greedy;

/* By its name; NULL: there is none. */
const struct policy *policy_find(const char *name);

#endif
