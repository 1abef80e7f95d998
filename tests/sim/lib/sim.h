/*
 * sim: the whole kernel on one thread, by seed. Cores are fibers that a stepper runs one turn at a
 * time in random order; time is a number; the disk is memory with random delays, reordering and
 * errors; programs are C functions that run where the kernel believes a user thread runs.
 *
 *   stepper --(random core that can run)--> core_turn ... arch_user_run --> program (prog.h)
 *      --door, fault, tick--> back
 *      ^                                        |
 *      +-- sim_yield: end of each turn, sleep, and wherever a program touches memory
 *
 * Each test runs once per seed in a process of its own, since a machine boots once. A test fails by
 * sim_check, by a kernel panic, by memory or ops not given back, when nothing can ever run again,
 * or when it takes more steps than SIM_STEPS_MAX. The same seed gives the same history, step by
 * step; a failing run prints it.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arch.h"
#include "proc/process.h"

#define SIM_STEPS_MAX 3000000u

struct sim_prog;

struct sim_test {
	const char *name;
	/* The test's own thread of control: spawns programs and steps until they are done. */
	void (*run)(void);
	const char *cmdline; /* boot arguments; NULL: none */
	unsigned cores;
	unsigned disk_sectors; /* 0: no disk */
	unsigned ram_mib;      /* 0: as much as usual */
	unsigned ops;	       /* of each serving core; 0: few, so that the pool runs empty */
	/* Changes the copy that a run works with, by its seed, before boot. NULL: nothing. */
	void (*shape)(struct sim_test *t);
	unsigned seeds; /* unless SEED or SEEDS say otherwise; 0: the usual few */
	/* Every operation is recorded: a failure prints the last records, and says whether a second
	 * run had the same. */
	bool traced;
};

/* Runs every test with every seed (SEED=n: that one; SEEDS=n: the first n; FIRST=n: starting there)
 * and prints `ok NAME` or `FAIL NAME: why (seed N, commit)`, for the first seed that fails.
 * JOBS=n: n seeds at a time. SOAK=1: goes on after failures, says how far it is, and ends with
 * `N passed, N failed`, counting seeds. CANCELS=1: prints the states in which operations were told
 * to end. SIM_VERBOSE=1 shows the kernel's console. Returns the exit status of the program. */
int sim_main(const struct sim_test *tests, unsigned count);

/* One run of one test, and no word of it unless it fails. Its history through *hash. Returns 0, or
 * 1. */
int sim_run_one(const struct sim_test *t, uint64_t seed, uint64_t *hash);

/* ---- for tests ------------------------------------------------------------------------------ */

/* Ends the run as failed, with the words. From a test, a program or a hook. */
noreturn_fn void sim_fail(const char *fmt, ...) printf_like(1, 2);
#define sim_check(cond)                                                                            \
	do {                                                                                       \
		if (!(cond))                                                                       \
			sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond);                          \
	} while (0)

/* Called when a run fails, to print what the test knows. NULL: nothing. */
extern void (*sim_last_words)(void);

/* Random numbers of this run. */
uint64_t sim_random(void);
static inline uint64_t sim_below(uint64_t n)
{
	return sim_random() % n;
}
static inline bool sim_chance(unsigned one_in)
{
	return !sim_below(one_in);
}

/* Steps the machine until done(arg), or fails. */
void sim_until(bool (*done)(void *arg), void *arg);
/* Steps it until this much virtual time has passed. */
void sim_for(nsec_t ns);
/* Set by a test in which nothing ever waits for a clock or a device: then all cores asleep at once
 * is a lost wake-up. Ends with sim_finish's last program. */
extern bool sim_busy;
/* Calls fn(arg) as core `index`, between two of its turns. */
void sim_on_core(unsigned index, void (*fn)(void *arg), void *arg);
/* Called between any two steps, if set. */
extern void (*sim_between)(void);
/* In the middle of what a core does: others may run. From programs and from fn of sim_on_core's
 * callees only where a core could be interrupted anyway. */
void sim_yield(void);

/* Starts a program, which is main(prog) on core `user_core` with its ring on core `home`. The
 * process. */
struct process *sim_spawn(void (*main)(struct sim_prog *p), void *arg, unsigned user_core,
			  unsigned home);
/* Steps until every spawned process is gone. Then the kernel must have as many free frames and ops
 * as before the first. */
void sim_finish(void);
/* Programs that are not gone yet; how many ended with a status other than 0. */
unsigned sim_alive(void);
unsigned sim_failed_programs(void);
/* Kills a process at once, whatever it does. */
void sim_kill(struct process *p);
/* Asks for a thread of the process, while it is alive, to move to any core at all, in whatever
 * state it is; what makes no sense must be refused. */
void sim_move(struct process *p);

/* The same for one of its rings, from wherever that is. */
void sim_move_ring(struct process *p);

/* ---- the disk -------------------------------------------------------------------------------- */

struct sim_disk {
	uint8_t *bytes;
	unsigned eio_permille; /* of requests that fail, having done nothing or part of it */
	nsec_t delay_max;
	unsigned depth;	       /* requests it takes at a time */
	/* one in so many steps it forgets what it has (each request fails) and is away for
	 * a while; 0: never */
	unsigned reset_one_in;
	unsigned requests, errors, resets;
};
extern struct sim_disk sim_disk;

#endif
