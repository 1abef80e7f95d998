/*
 * load: what the programs of a timed machine do, and what is measured of it.
 */
#ifndef TESTS_SIM_CORES_LOAD_H
#define TESTS_SIM_CORES_LOAD_H

#include "lib/timed.h"

enum load_kind {
	LOAD_NOP,  /* entries that do nothing, `batch` at a time, at most 256 under way */
	LOAD_ECHO, /* a message into a pipe that somebody waits at, 8 conversations a program */
	LOAD_TCP,  /* messages over connections to itself: parts.h; to be measured only */
	LOAD_OPEN, /* a pipe made, both ends closed: what all cores share is asked for each time */
};

#define LOAD_PROGRAMS_MAX 63u

/* What is asked for, and the answer. */
struct load {
	enum load_kind kind;
	/* Of all, so many serve. Each other core has one program, as far as there are programs: the
	 * hosted machine has address spaces for LOAD_PROGRAMS_MAX. */
	unsigned cores, kernel;
	unsigned batch;
	nsec_t ns; /* how long is measured */

	uint64_t sqes, cqes;	 /* of all programs, from first to last */
	uint64_t done, requests; /* CQEs, and requests answered, while it was measured */
	double busy[CORES_MAX];	 /* share of that time in which the core did something */
	uint64_t hash;
};

/* Starts the programs, measures, and ends them: a test's thread of control. */
void load_run(struct load *l);
/* The batch of the load that runs. */
unsigned load_batch(void);

/* The same, while the kernel's parts are timed on this processor: four runs, of a NOP load, twice
 * of an echo load, and of a TCP load, each finding what the next one needs to know. costs[3] is 0
 * before the first, and kept in between. */
void load_measure(struct load *l, double *costs);

#endif
