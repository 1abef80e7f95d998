/*
 * timed: machines nobody here owns. Each core has a clock of its own, and the core whose clock is
 * earliest goes on; what it does moves its clock, by costs that were measured on a real processor
 * (bench/cost.conf, docs/simulator.md).
 *
 * Time passes for three reasons: the kernel's own counters went up (an entry taken, a step, a mail,
 * a trap), a cache line had to come from another core (lines.c), or nothing was to be done. A core
 * goes on until its clock is past another's and it does something that the other could see; then
 * the other one is first.
 */
#ifndef TESTS_SIM_TIMED_H
#define TESTS_SIM_TIMED_H

#include "lib/sim.h"

/* Name in the file and what it is; all in nanoseconds. */
#define SIM_COST_LIST(X)                                                                           \
	X(turn)	    /* a turn of a core with nothing to do, all parts of it */                     \
	X(relax)    /* the pause between two looks, of kernel and program */                       \
	X(sqe)	    /* an entry: taken, checked, a step that does nothing, its CQE */              \
	X(transfer) /* what an entry costs on top that moves some bytes of a file */               \
	X(copy)	    /* 64 bytes of it, copied */                                                   \
	X(random)   /* 64 random bytes, computed */                                               \
	X(step)	    /* a step by the executor, and what it completes */                            \
	X(tcp)	    /* what a message costs on top that goes through TCP and comes back */         \
	X(mail)	    /* a message delivered */                                                      \
	X(post)	    /* a message posted */                                                         \
	X(doorbell) /* an interrupt, for who sends it */                                           \
	X(wake)	    /* from there until a sleeping core's first instruction */                     \
	X(trap)	    /* into the kernel and back: a context switch */                               \
	X(user)	    /* an entry, for the program: filled, its answer looked at */                  \
	X(line)	    /* a cache line that is with another core, waited for */                       \
	X(stream)   /* one of a row of lines, read one after the other */                          \
	X(store)    /* a line that others have, written without waiting */

struct sim_costs {
#define X(name) uint64_t name;
	SIM_COST_LIST(X) /* picoseconds */
#undef X
};
extern struct sim_costs sim_costs;

/* Reads KEY=value lines, KEY being NAME_ns; every cost once, nothing else. Lines, streams and
 * stores take `lines` times as long. A sentence about what is wrong and exit 2. */
void sim_costs_read(const char *path, double lines);

/* The machine has clocks per core from now on. In a test's shape. */
void sim_timed_begin(void);
extern bool sim_timed;
/* The core that runs goes on, whoever is earlier: while its code is timed on a real clock. */
extern bool sim_timed_held;

/* The machine as it is while its code is timed: every cost the same. */
void sim_costs_equal(void);
/* Pins that the core which runs has taken: the kernel does not count them. */
uint64_t sim_pins(void);
/* The same of messages given to TCP. */
uint64_t sim_tcps(void);

/* ---- for programs ---------------------------------------------------------------------------- */

/* The program's core has worked this long. */
void sim_work(uint64_t ps);
/* A full fence: waits for the lines of all stores before it. */
void sim_fence(void);
/* The clock of the core that runs, nanoseconds. */
nsec_t sim_clock(void);

/* ---- what the lines did ---------------------------------------------------------------------- */

/* Does this build see the kernel's loads and stores (make TIMED=1)? */
bool sim_lines_seen(void);
/* From now on, transfers are counted by where in the code they happen. */
void sim_lines_count(void);
/* No longer. */
void sim_lines_freeze(void);
/* Lines `shared: PC cores=N moves=N ns=N`, worst first, of those places whose line three or more
 * cores have had. PC as in the file of the program. */
void sim_lines_print(unsigned count);

#endif
