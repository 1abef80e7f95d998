/*
 * balance: loads that a policy can make something of, on a machine with clocks, in slices of time.
 */
#ifndef TESTS_SIM_CORES_BALANCE_H
#define TESTS_SIM_CORES_BALANCE_H

#include "cores/policy.h"
#include "lib/timed.h"

#define BALANCE_SLICES 2048u
#define BALANCE_CORES 16u

/* What happened in one slice. */
struct balance_slice {
	uint64_t done;	   /* entries answered */
	uint64_t requests; /* phase: pieces of computing, each with one entry */
	uint32_t age_ns;   /* highest age of an unserved entry that a look each tenth found */
	uint32_t moves[BALANCE_KINDS]; /* so far */
	uint32_t ops[BALANCE_CORES]; /* entries that each core served */
	uint16_t busy[BALANCE_CORES];  /* permille of it in which the core found something to do */
	uint8_t serves[BALANCE_CORES]; /* at its end */
};

struct balance_run {
	/* asked for */
	/* hot, enter, heavy, reads, skew, crowd, compute, steady, phase, disk, net, parts */
	char load[12];
	char policy[12];
	char map[256]; /* as the boot argument has it, at most BALANCE_CORES cores */
	unsigned programs;
	unsigned homes; /* disk, net, parts: rings are on so many of the first cores */
	nsec_t ns, slice_ns;
	/* the answer */
	unsigned slices;
	struct balance_slice slice[BALANCE_SLICES];
	uint64_t done, requests, passes, refused, given;
	/* of the first ring that was moved: how far behind its core was, and when, since the
	 * programs began */
	nsec_t first_behind_ns, first_at_ns;
	nsec_t last_at_ns; /* of the last move */
	nsec_t thread_waited_ns; /* the longest that a thread had waited when it was moved */
	uint64_t hash;
};

/* Is there such a load? */
bool balance_load_is(const char *name);
/* Starts the programs, measures, and ends them: a test's thread of control. */
void balance_run(struct balance_run *r);

#endif
